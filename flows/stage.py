"""``python -m flows.stage NAME``: one stage, as ``dvc.yaml`` runs it.

DVC hashes what a stage depends on once more when it is over, and remembers that: ``dvc repro`` does not see an edit
meanwhile. The flow does (``flows/pipeline.py``).
"""

import os
import sys
from pathlib import Path

from dconrec_core.errors import ConfigError
from dconrec_core.options import RunOptions
from dconrec_core.registry import suggest
from flows.alone import alone
from flows.console import Console
from flows.env import ROOT
from flows.failure import INTERRUPTED, USER_ERRORS, one_line
from flows.frame import parser_of
from flows.params import check_names, read_params
from flows.stages import BY_NAME, Stage
from tasks.params import PipelineParams
from tasks.workspace import Workspace

NAMED = {"dataset", "teacher", "condense", "evaluate"}
"""Sections that choose something by name: a stage that uses one checks them all, before it costs anything."""


def run(stage: Stage, params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    """Run one stage as ``dvc.yaml`` does, in a process of its own; the flow calls ``stage.run`` itself."""
    if NAMED & set(stage.params) and stage.name != "register":  # its inputs show that the names were right
        check_names(params)
    stage.run(params, files, options)


def main(arguments: list[str]) -> int:
    """Exit code 0 when the stage's outputs are complete, 1 when the input does not allow it."""
    parser = parser_of("flows.stage", __doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(BY_NAME)}")
    name = parser.parse_args(arguments).name
    try:
        if name not in BY_NAME:
            raise ConfigError(f"there is no stage {name!r}; {suggest(name, list(BY_NAME))}")
        stage = BY_NAME[name]
        os.chdir(ROOT)  # so that messages name paths as the project does
        params = read_params(Path())
        with alone(), Console(total=1) as console:
            console.begin(stage.name, stage.job)
            files = Workspace()
            run(stage, params, files, RunOptions(params.seed, params.device, "", console.epoch, files.checkpoints))
            console.end(stage.outcome(files))
    except USER_ERRORS as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
