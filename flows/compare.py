"""``python -m flows.compare [KEY=VALUE ...]``: condensers, budgets and models side by side, each beside full data.

Every parameter is typed and has its choices, so that Prefect's page shows the flow as a form. One Prefect task a cell;
finished cells are kept in ``results/comparison.json``. docs/results.md shows how to read the comparison in MLflow.
"""

import inspect
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from dconrec_core.condensation import CONDENSERS
from dconrec_core.errors import ConfigError, DConRecError
from dconrec_core.models import MODELS
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import lookup, suggest
from dconrec_core.types import Split
from flows.artifacts import ProgressBar, link_comparison, publish_comparison
from flows.console import Console, hush, spell_seconds
from flows.env import PARAMS_FILE, ROOT
from flows.failure import USER_ERRORS, one_line
from flows.hooks import remember_failure
from flows.pages import USUAL, mlflow_pages
from flows.params import check_names, parse_changes, presets, read_params, read_preset
from flows.states import STOPPED, UNREACHABLE, failed, is_unreachable
from tasks.comparison import Cell, Comparison, References
from tasks.grid import cells, cheapest_first, load_split
from tasks.params import PipelineParams
from tasks.results_file import Results, Row
from tasks.workspace import Workspace

COMMAND = "python -m flows.compare"
KEPT = "Kept"
"""State of a cell that an earlier run has finished."""
INTERRUPTED = "interrupted; run again to go on from the last finished cell"
RETRY_SECONDS: list[float] = [5, 30]

# The choices are shown in Prefect's form; that a name exists is checked by the flow, which offers the nearest one.
Dataset = Annotated[str, Field(json_schema_extra={"enum": [PARAMS_FILE, *presets(ROOT)]})]
Condenser = Annotated[str, Field(json_schema_extra={"enum": sorted(CONDENSERS)})]
Model = Annotated[str, Field(json_schema_extra={"enum": sorted(MODELS)})]
Ratio = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Interrupted(DConRecError):
    """Nobody waits for this cell any more."""


class Job:
    """One run of the flow. A plain class, so that Prefect hands it to tasks as it is."""

    def __init__(
        self,
        settings: Mapping[str, PipelineParams],
        grid: Sequence[Cell],
        files: Workspace,
        data: Path | None,
        workers: int,
    ) -> None:
        self.settings, self.cells, self.files, self.data, self.workers = settings, grid, files, data, workers
        self.results = Results(files.comparison, COMMAND)
        references = References(lambda apart_from: Results(files.comparison_full, COMMAND, apart_from))
        self.comparison = Comparison(self._load, references, RunOptions(device="cpu", on_epoch=self._epoch))
        self.console, self.telling = Console(total=len(grid)), threading.Lock()
        self.progress = ProgressBar(total=len(grid), what="cells")
        self.over = threading.Event()

    def measure(self, cell: Cell) -> State[Any]:
        """Measure one cell, unless an earlier run did."""
        if row := self.results.find(cell.case):
            self._tell(cell, f"{described(row)}, from an earlier run")
            return Completed(name=KEPT, message=described(row))
        started = time.monotonic()
        row = self.results.row(cell.case, lambda: self.comparison.measure(cell))
        seconds = spell_seconds(time.monotonic() - started)
        self._tell(cell, f"{described(row):<40} {seconds:>8}")
        get_run_logger().info("%s: %s, %s", cell.name, described(row), seconds)
        return Completed(message=described(row))

    def rows(self) -> list[Row]:
        """Of every finished cell."""
        return [row for cell in self.cells if (row := self.results.find(cell.case))]

    def _load(self, dataset: str, seed: int) -> Split:
        return load_split(self.settings[dataset], seed, self.files.cache, self.data, RunOptions())

    def _tell(self, cell: Cell, how: str) -> None:
        with self.telling:  # several workers, one terminal
            self.console.skip(cell.name, how)
            self.progress.stage_over()

    def _epoch(self, event: EpochEvent, /) -> None:
        if self.over.is_set():
            raise Interrupted("interrupted")
        if self.workers == 1:
            self.console.epoch(event)


@task(cache_policy=NO_CACHE, persist_result=False, tags=["dconrec", "comparison"], name="cell")
def measure(position: int, job: Job) -> State[Any]:
    """One cell."""
    import torch

    cell = job.cells[position]
    try:
        if job.over.is_set():
            raise Interrupted("not begun")
        torch.set_num_threads(1)  # in the thread that trains: seconds are those of one core, on either side
        return job.measure(cell)
    except USER_ERRORS as error:
        return failed(cell.name, error)


@task(
    name="track",
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["dconrec", "comparison"],
    retries=2,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_unreachable,
)
def track(job: Job, experiment: str, asked: Mapping[str, Any]) -> State[Any]:
    """Remember every finished cell in MLflow."""
    from tasks.comparison_tracking import track_comparison

    try:
        files = job.files
        tracked = track_comparison(experiment, _name(asked), asked, job.rows(), files.root / "mlflow", files.comparison)
        mlflow = mlflow_pages() or USUAL
        link_comparison(f"{mlflow}{tracked.page}")
        return Completed(message=f"MLflow run {tracked.run_id} in {experiment}; make ui, then {mlflow}{tracked.table}")
    except USER_ERRORS as error:
        return failed("track", error)


def _name(asked: Mapping[str, Any]) -> str:
    return f"{', '.join(asked['datasets'])}: {', '.join(asked['condensers'])}"[:200]


@flow(
    name="compare",
    flow_run_name="comparison of {condensers}",
    persist_result=False,
    on_failure=[remember_failure],
    on_crashed=[remember_failure],
)
def compare(
    datasets: list[Dataset] = [PARAMS_FILE],  # noqa: B006  (shown as the default in the form, and never changed)
    ratios: list[Ratio] = [0.05, 0.25],  # noqa: B006
    condensers: list[Condenser] = ["dconrec", "teacher-top", "random-pool", "random"],  # noqa: B006
    models: list[Model] = ["bprmf"],  # noqa: B006
    sources: list[Model] = [],  # noqa: B006
    seeds: list[Seed] = [0, 1, 2],  # noqa: B006
    trials: Count | None = None,
    workers: Count = 1,
    data: str | None = None,
    experiment: str = "dconrec-comparison",
) -> State[Any]:
    """Measure every combination that no earlier run has, and remember them all in MLflow.

    Args:
        datasets: Presets, each with its settings; params.yaml for what that file describes.
        ratios: Budgets, as shares of the training interactions.
        condensers: Whose sets are compared.
        models: Downstream recommenders.
        sources: Models that teach the pool and are trained inside condensation; none for each preset's own teacher.
        seeds: Each of split, teacher, condensation and training.
        trials: Settings tried on valid, on either side; each preset's own number by default.
        workers: Cells measured side by side; seconds compare only with one.
        data: Folder of the files that cannot be downloaded; each preset's own by default.
        experiment: MLflow's experiment.
    """
    asked = {
        "datasets": datasets, "ratios": ratios, "condensers": condensers, "models": models, "sources": sources,
        "seeds": seeds, "workers": workers,
    }  # fmt: skip
    try:
        settings = settings_of(datasets)
        for name in condensers:
            lookup(CONDENSERS, name, "condensers")
        for where, names in (("models", models), ("sources", sources)):
            for name in names:
                lookup(MODELS, name, where)
        grid = cheapest_first(cells(settings, ratios, condensers, models, seeds, sources or [""], trials))
        if not grid:
            raise ConfigError("nothing to compare; name at least one of datasets, ratios, condensers, models and seeds")
        job = Job(settings, grid, Workspace(), Path(data) if data else None, workers)
        return _run(job, experiment, asked)
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))


def settings_of(datasets: Sequence[str]) -> dict[str, PipelineParams]:
    """Settings by dataset.

    Raises:
        ConfigError: A name is no preset, a preset is not valid, or two are of one dataset.
    """
    found: dict[str, PipelineParams] = {}
    for name in datasets:
        params = read_params(Path()) if name == PARAMS_FILE else read_preset(Path(), name)
        check_names(params)
        key = params.dataset.name if name == PARAMS_FILE else name
        if key in found:
            raise ConfigError(f"datasets names {key} twice; rows of both could not be told apart, so leave one out")
        found[key] = params
    return found


def _run(job: Job, experiment: str, asked: Mapping[str, Any]) -> State[Any]:
    try:
        # A runner of its own, and not the flow's: how many workers there are is a parameter.
        runner: ThreadPoolTaskRunner[State[Any]] = ThreadPoolTaskRunner(max_workers=job.workers)
        with runner:
            named = [measure.with_options(task_run_name=cell.name) for cell in job.cells]
            futures = [runner.submit(one, {"position": at, "job": job}) for at, one in enumerate(named)]
            try:
                for future in futures:
                    future.wait()
            finally:
                job.over.set()  # also after Ctrl-C: running cells stop at their next epoch, the others never begin
        states = [future.state for future in futures]
    finally:
        job.console.close()
    publish_comparison([_shown(row) for row in job.rows()])
    tracked = track(job, experiment, asked, return_state=True)
    for state in (*states, tracked):
        if not state.is_completed() and state.name not in (STOPPED, UNREACHABLE):
            return state  # a bug keeps its traceback
    if lost := [str(state.message) for state in states if not state.is_completed()]:
        return Failed(
            name=STOPPED, message=f"{len(lost)} of {len(states)} cells failed, the others are kept; {lost[0]}"
        )
    if not tracked.is_completed():
        return Failed(name=STOPPED, message=tracked.message)
    kept = sum(state.name == KEPT for state in states)
    return Completed(message=f"{len(states) - kept} measured, {kept} from earlier runs; {tracked.message}")


def described(row: Row) -> str:
    """What a cell showed, in a few words."""
    return f"NDCG@10 {row['ndcg@10']:.4f}, {row['quality']:.1%} of full data"


def _shown(row: Row) -> dict[str, str]:
    return {
        "dataset": row["dataset"],
        "ratio": f"{row['ratio']:.2%}",
        "condenser": row["condenser"],
        "source": row["source_model"],
        "downstream": row["downstream_model"],
        "seed": str(row["seed"]),
        "inductive": "yes" if row["inductive"] else "no",
        "NDCG@10": f"{row['ndcg@10']:.4f}",
        "Recall@20": f"{row['recall@20']:.4f}",
        "of full": f"{row['quality']:.1%}",
        "speed-up": f"{row['speed_up']:.1f} ×",
        "condensing, s": f"{row['condense_seconds']:.2f}",
        "training, s": f"{row['train_seconds']:.2f}",
    }


def parameters(arguments: Sequence[str]) -> dict[str, Any]:
    """``["ratios=[0.1]"]`` → the flow's parameters.

    Raises:
        ConfigError: One sets nothing, is no parameter, or is given a single value where a list is asked for.
    """
    known = list(inspect.signature(compare.fn).parameters)
    found = parse_changes(arguments)
    for name in found:
        if name not in known:
            raise ConfigError(f"{name} is not a parameter; {suggest(name, known)}")
    lists = {name for name, one in inspect.signature(compare.fn).parameters.items() if isinstance(one.default, list)}
    return {name: [value] if name in lists and not isinstance(value, list) else value for name, value in found.items()}


def _wrong(error: ParameterTypeError) -> str:
    """Prefect's words in one line: ``ratios.0: Input should be less than or equal to 1 …``."""
    lines = [line.strip(" -'[]") for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the flow in this process; exit code 0 when every cell is measured and remembered."""
    os.chdir(ROOT)  # so that messages name paths as the project does
    hush()
    try:
        state = compare(**parameters(arguments), return_state=True)
        if state.name not in (STOPPED, None) and not state.is_completed():
            state.result()
        print(state.message, file=sys.stdout if state.is_completed() else sys.stderr)
        return int(not state.is_completed())
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
    except ParameterTypeError as error:
        print(_wrong(error), file=sys.stderr)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
