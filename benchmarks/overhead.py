"""``make bench-overhead``: what Prefect and DVC cost on top of the bare stage functions → overhead.json.

The same pipeline, in copies of this checkout, in turn (A B C A B C …): its stage functions called one after the other
in one process, the Prefect flow, and ``dvc repro``, which starts a process a stage. Each starts with empty outputs,
Prefect's and MLflow's tables as a run before left them, and compiled code. Then the flow and ``dvc repro`` once more,
when nothing is left to do. That job is short: one downstream model, one baseline, one trial. What it costs to conduct
depends on the stages and not on how long they take, so ``whole`` is the main job of the preset as it is, through the
bare functions, and the overhead is put beside it. Other work on a machine lengthens what is waited for, so processor
seconds, of all processes together, stand beside those on the wall.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from statistics import median

from benchmarks.command_line import parser_of, run_main
from benchmarks.processes import LAST_LINES, THREADS, WorkerError
from benchmarks.results import ROOT, Results, Row, drivers_fingerprint
from tests.flows.project import clean, environment, make_project, make_store

COMMAND = "make bench-overhead"
BARE, KINDS = "bare", ("seconds", "cpu_seconds")
FUNCTIONS = """
import flows
from pathlib import Path
from dconrec_core.options import RunOptions
from flows.params import read_params
from flows.stages import STAGES
from tasks.workspace import Workspace
params, files = read_params(Path()), Workspace()
for stage in STAGES:
    stage.run(params, files, RunOptions(params.seed, params.device, checkpoints=files.checkpoints))
"""
SIDES: Mapping[str, list[str]] = {
    BARE: [sys.executable, "-c", FUNCTIONS],
    "flow": [sys.executable, "-m", "flows.pipeline"],
    "dvc": [sys.executable, "-m", "dvc", "repro"],
}
SHORT = ("evaluate.baselines=[random]", "evaluate.trials=1", "evaluate.curve_ratios=[]")
JOBS: Mapping[str, tuple[str, ...]] = {
    "ml-100k": (*SHORT, "evaluate.models={bprmf: {}}"),
    "ml-1m": (*SHORT, "evaluate.models={bprmf: {learning_rate: 0.15, weight_decay: 0.01, eval_every: 10}}"),
}
"""Presets, and what makes their jobs short."""
REPETITIONS = 3

Seconds = Mapping[str, float]
"""On the wall and of processors."""


class Place:
    """A project on one dataset, with everything fetched, compiled and made that a first run takes once.

    Args:
        folder: For it and for the copies that things are run in.
        dataset: Of the preset.
        data: Folder of the datasets' files.
    """

    def __init__(self, folder: Path, dataset: str, data: Path) -> None:
        self.folder, self.dataset, self.data = folder, dataset, data

    @cached_property
    def template(self) -> Path:
        """Made when it is needed: rows that are there already cost nothing."""
        project = make_project(self.folder / "template", JOBS[self.dataset], self.dataset)
        for file in self.data.glob(f"{self.dataset}.*"):
            shutil.copy(file, project / "data/input")
        timed("flow", project)
        clean(project, keep=("data/cache", ".prefect"))
        make_store(project / "mlflow/mlflow.db")  # that of the run says where its artifacts lie, which is here
        return project

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """A project in which no stage has run."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(shutil.copytree(self.template, Path(folder) / "project", symlinks=True))


def timed(side: str, project: Path) -> Seconds:
    """Seconds of one side, with every process that it started and waited for.

    Raises:
        WorkerError: It did not come to its end.
    """
    log, started = project.parent / f"{side}.log", time.perf_counter()
    with log.open("w") as stream:
        settings = environment() | dict.fromkeys(THREADS, "1")
        process = subprocess.Popen(SIDES[side], cwd=project, env=settings, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = "\n".join(log.read_text().splitlines()[-LAST_LINES:])
        raise WorkerError(f"{side} in {project} ended with status {process.returncode}:\n{said}")
    return {"seconds": time.perf_counter() - started, "cpu_seconds": usage.ru_utime + usage.ru_stime}


def in_turn(place: Place, repetitions: int) -> Row:
    """Every side in turn; those that remember once more, when nothing is left to do."""
    taken: defaultdict[str, list[Seconds]] = defaultdict(list)
    for _ in range(repetitions):
        for side in SIDES:
            with place.copy() as project:
                taken[side].append(timed(side, project))
                if side != BARE:
                    taken[f"{side}_cached"].append(timed(side, project))
    return figures(taken)


def figures(taken: Mapping[str, Sequence[Seconds]]) -> Row:
    """Medians, and the medians of what each side took longer than the bare functions beside it."""
    row: Row = {"repetitions": len(taken[BARE])}
    for kind in KINDS:
        for name, each in taken.items():
            row[f"{name}_{kind}"] = round(median(one[kind] for one in each), 2)
        for side in (side for side in SIDES if side != BARE):
            pairs = zip(taken[side], taken[BARE], strict=True)
            row[f"{side}_overhead_{kind}"] = round(median(one[kind] - bare[kind] for one, bare in pairs), 2)
    return row


def whole(place: Place, overhead: Row) -> Row:
    """The preset as it is through the bare functions, and the overhead of the short job as a share of that."""
    with place.copy() as project:
        shutil.copy(ROOT / "presets" / f"{place.dataset}.yaml", project / "params.yaml")
        taken = timed(BARE, project)
    shares = {
        f"{side}_share_of_{kind}": round(overhead[f"{side}_overhead_{kind}"] / taken[kind], 4)
        for side in SIDES
        if side != BARE
        for kind in KINDS
    }
    return {**{f"bare_{kind}": round(taken[kind], 2) for kind in KINDS}, **shares}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("overhead", __doc__)
    parser.add_argument("--dataset", action="append", choices=tuple(JOBS), help="only this one; may be repeated")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args(arguments)
    results, code = Results.named("overhead", COMMAND), {"of": drivers_fingerprint()}
    for dataset in options.dataset or JOBS:
        cases = [
            {"dataset": dataset, "job": "short", "code": code, "repetitions": options.repetitions},
            {"dataset": dataset, "job": "whole", "code": code},
        ]
        with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
            place = Place(Path(folder), dataset, options.data)
            short = results.row(cases[0], lambda place=place: in_turn(place, options.repetitions))
            print(
                f"{dataset}, short job: bare {short['bare_seconds']:.1f} s, flow {short['flow_seconds']:.1f} s, "
                f"dvc repro {short['dvc_seconds']:.1f} s; with nothing to do {short['flow_cached_seconds']:.1f} and "
                f"{short['dvc_cached_seconds']:.1f} s",
                flush=True,
            )
            row = results.row(cases[1], lambda place=place, short=short: whole(place, short))
            print(
                f"{dataset}, whole job: bare {row['bare_seconds']:.1f} s, of which the flow adds "
                f"{row['flow_share_of_seconds']:.1%}, dvc repro {row['dvc_share_of_seconds']:.1%}",
                flush=True,
            )


if __name__ == "__main__":
    run_main(main)
