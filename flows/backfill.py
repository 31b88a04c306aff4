"""``backfill``: the pipeline once for each combination of settings, each in a copy of this checkout.

A copy (``dvc exp run --temp``) leaves ``params.yaml`` and the outputs here as they are, also when the machine goes down
in the middle. DVC's cache is shared: what combinations have in common is computed once, and one that has been run costs
next to nothing. Runs and registered sets are remembered here, in MLflow, the sets under a name of their own
(``…-backfill``): none becomes champion of the model in use, or takes the place of a challenger that waits for a person.
``dvc exp show`` lists the same.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from dconrec_core.data.local import INPUT
from dconrec_core.errors import DConRecError
from flows.failure import USER_ERRORS, one_line
from flows.hooks import remember_failure
from flows.overrides import overrides
from flows.params import check_names, dump_value, read_document, read_params
from flows.processes import MARK, stop_marked
from flows.states import STOPPED, failed
from tasks.naming import model_name
from tasks.versioning import Versions
from tasks.warm import CHAMPIONS

TRACKED = {"README.md"}
"""Of ``data/input``: Git brings it into every copy."""
DVC_FILE = ".dvc"
"""Of a file that names a version of another: DVC brings it into a copy, up to date, while the one here may be older."""
SUFFIX = "-backfill"
"""Of the registered model of a copy's set."""
RUN_HOURS = 24
SHOWN = ("ndcg@10", "recall@20", "quality", "n_interactions")

Changes = Mapping[str, Any]
Ratio = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0)]


class BackfillError(DConRecError):
    """A run in a copy did not come to its end."""


@flow(name="backfill", persist_result=False, on_failure=[remember_failure], on_crashed=[remember_failure])
def backfill(
    ratios: tuple[Ratio, ...] = (),
    seeds: tuple[Seed, ...] = (),
    condensers: tuple[str, ...] = (),
    changes: dict[str, Any] | None = None,
) -> State[Any]:
    """Run the pipeline for every combination of the lists, one after the other; a failed one does not stop the rest.

    Args:
        ratios: Values of `condense.ratio`; none for that of params.yaml.
        seeds: Values of `seed`; none for that of params.yaml.
        condensers: Values of `condense.name`; none for that of params.yaml.
        changes: Further keys of params.yaml, for every run, for instance `{"dataset.name": "ml-1m"}`. Every run starts
            anew, also where `nightly` has left a `condense.start`, unless that is among them. Its set is registered as
            `<name>-backfill`, so that it cannot become champion of the model in use, unless `registration.name` is.
    """
    try:
        anew: Changes = {} if read_params(Path()).condense.start is None else {"condense.start": None}
        lists = {"condense.ratio": ratios, "seed": seeds, "condense.name": condensers}
        runs = combinations(lists, {**anew, **(changes or {})})
        for run in runs:  # before the first one costs anything
            check_names(read_params(Path(), run))
            settings_of(run)
        rows, problems = [], []
        for position, run in enumerate(runs):
            name = f"backfill-{str(flow_run.id)[:8]}-{position + 1}"
            state = run_copy.with_options(task_run_name=described(run))(name, run, return_state=True)
            if not state.is_completed():
                problems.append(f"{described(run)}: {state.message}")
            rows += table_rows(name, run, state)
            create_table_artifact(table=rows, key="backfill", description="One row a run and model; test split")
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))
    if problems:
        return Failed(name=STOPPED, message=f"{len(problems)} of {len(runs)} runs failed: {'; '.join(problems)}"[:2000])
    return Completed(message=f"{len(runs)} runs; `dvc exp show` lists them, MLflow compares them")


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    timeout_seconds=timedelta(hours=RUN_HOURS).total_seconds(),
)
def run_copy(name: str, changes: Changes) -> State[Any]:
    """One combination, as the DVC experiment ``name``; one that is there was finished before the flow was cut off."""
    try:
        with Versions(Path()) as versions:
            kept = versions.has_experiment(name)
        if not kept:
            run_experiment(name, changes)
        return Completed(message=f"{'finished before; ' if kept else ''}dvc exp apply {name} brings it here")
    except USER_ERRORS as error:
        return failed(name, error)


def run_experiment(name: str, changes: Changes) -> None:
    """Let DVC run the stages in a copy of this checkout, and pass on what they say.

    Raises:
        BackfillError: One stage failed.
    """
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name]
    for path in sorted(INPUT.iterdir()) if INPUT.is_dir() else []:
        command += ["--copy-paths", str(path)] if path.name not in TRACKED and path.suffix != DVC_FILE else []
    start = read_params(Path(), changes).condense.start
    if start is not None and (CHAMPIONS / start).is_dir():
        command += ["--copy-paths", str(CHAMPIONS / start)]
    for setting in settings_of(changes):
        command += ["--set-param", setting]
    last = ""
    mark = f"{os.environ[MARK]}/{name}" if MARK in os.environ else name
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with subprocess.Popen(
        command,
        env=os.environ | {"PATH": path, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                get_run_logger().info(last) if line.strip() else None
        except BaseException:  # a timeout, or the end of the flow
            stop_marked(mark)  # the stage that DVC started too: its training would go on beside the next one
            raise
    if process.returncode:
        raise BackfillError(f"{last.removeprefix('ERROR: ')}; the run's log has the lines before")


def settings_of(changes: Changes) -> list[str]:
    """The settings of one copy, as DVC takes them.

    Raises:
        ConfigError: DVC cannot be told one of them.
    """
    named = "registration.name" in changes or "name" in changes.get("registration", {})
    name = model_name(read_params(Path(), changes)).removesuffix(SUFFIX)  # a copy's params.yaml may have been applied
    apart = {} if named else {"registration.name": f"{name}{SUFFIX}"}
    return list(overrides(read_document(Path()), read_document(Path(), {**changes, **apart})))


def combinations(lists: Mapping[str, Sequence[Any]], changes: Changes) -> list[dict[str, Any]]:
    """Every combination of the lists that are not empty, each with ``changes``; ``changes`` alone where all are."""
    keys = [key for key, values in lists.items() if values]
    return [
        {**changes, **dict(zip(keys, values, strict=True))}
        for values in itertools.product(*(lists[key] for key in keys))
    ]


def described(changes: Changes) -> str:
    """``condense.ratio=0.1 seed=1``."""
    return " ".join(f"{key}={dump_value(value)}" for key, value in changes.items()) or "params.yaml as it is"


def table_rows(name: str, changes: Changes, state: State[Any]) -> list[dict[str, Any]]:
    """What the condensed set of one run is worth, by model."""
    row = {**{key: str(value) for key, value in changes.items()}, "experiment": name, "state": state.name}
    if not state.is_completed():
        return [{**row, "model": "–"}]
    with Versions(Path()) as versions:
        metrics = versions.metrics_of(name)
    return [
        {**row, "model": model, **{key: sets["condensed"].get(key) for key in SHOWN}}
        for model, sets in metrics.items()
        if "condensed" in sets  # the popularity ranker has none
    ]
