"""``python -m flows.compare [KEY=VALUE ...]``: condensers, budgets and models side by side, each beside full data.

Every parameter is typed and has its choices, so that Prefect's page shows the flow as a form. One Prefect task a cell;
finished cells are kept in ``results/comparison.json``. docs/results.md shows how to read the comparison in MLflow.
"""

import inspect
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.callables import parameter_schema
from pydantic import Field

from dconrec_core.condensation import CONDENSERS
from dconrec_core.errors import ConfigError
from dconrec_core.models import MODELS
from dconrec_core.options import ignore_epochs
from dconrec_core.registry import lookup, suggest
from flows.artifacts import ProgressBar, link_comparison, publish_comparison
from flows.cells import Measurer, Order, Setup, measure
from flows.command import completed, server_starting
from flows.console import Console, hush
from flows.env import PARAMS_FILE, ROOT
from flows.failure import USER_ERRORS, one_line
from flows.frame import parser_of, run
from flows.hooks import remember_failure
from flows.pages import USUAL, mlflow_pages
from flows.params import check_names, dump_value, parse_changes, presets, read_params, read_preset
from flows.served import HOST
from flows.states import KEPT, RETRY_SECONDS, STOPPED, UNREACHABLE, failed, is_unreachable
from tasks.comparison import Cell
from tasks.grid import cells, cheapest_first
from tasks.naming import COMPARISONS
from tasks.params import PipelineParams
from tasks.results_file import Row
from tasks.workspace import Workspace

LOCAL = "local"
INTERRUPTED = "interrupted; run again to go on from the last finished cell"

# The choices are shown in Prefect's form; that a name exists is checked by the flow, which offers the nearest one.
Dataset = Annotated[str, Field(json_schema_extra={"enum": [PARAMS_FILE, *presets(ROOT)]})]
Condenser = Annotated[str, Field(json_schema_extra={"enum": sorted(CONDENSERS)})]
Model = Annotated[str, Field(json_schema_extra={"enum": sorted(MODELS)})]
Ratio = Annotated[float, Field(gt=0, le=1)]
Cluster = Annotated[str, Field(pattern=rf"^({LOCAL}|(tcp|tls)://\S+)$")]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


@task(
    name="track",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_unreachable,
)
def track(files: Workspace, rows: Sequence[Row], experiment: str, asked: Mapping[str, Any]) -> State[Any]:
    """Remember every finished cell in MLflow."""
    from tasks.comparison_tracking import track_comparison

    try:
        tracked = track_comparison(experiment, _name(asked), asked, rows, files.root / "mlflow", files.comparison)
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
    cluster: Cluster | None = None,
    data: str | None = None,
    experiment: Annotated[str, Field(min_length=1)] = COMPARISONS,
) -> State[Any]:
    """Measure every combination that no earlier run has, and remember them all in MLflow.

    Args:
        datasets: Presets, each with its settings; params.yaml for what that file describes.
        ratios: Budgets, as shares of the training interactions.
        condensers: Whose sets are compared.
        models: Downstream recommenders.
        sources: Models that teach the pool; none for each preset's own teacher.
        seeds: Each of split, teacher, condensation and training.
        trials: Settings tried on valid, on either side; each preset's own number by default.
        workers: Cells measured side by side; seconds compare only with one.
        cluster: Dask processes instead of threads: `local` for as many as workers on this machine, or a scheduler's
            address, `tcp://HOST:8786`, whose workers are started in checkouts of the same commit.
        data: Folder of the files that cannot be downloaded; each preset's own by default.
        experiment: MLflow's experiment.
    """
    asked = {
        "datasets": datasets, "ratios": ratios, "condensers": condensers, "models": models, "sources": sources,
        "seeds": seeds, "workers": workers, "cluster": cluster or "threads of one process",
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
        setup = Setup(uuid.uuid4().hex, settings, Path(data) if data else None)
        return _run(grid, setup, runner_of(workers, cluster), experiment, asked)
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


def runner_of(workers: int, cluster: str | None) -> TaskRunner[Any]:
    """Where cells are measured: a runner of its own, and not the flow's, since parameters say which.

    Raises:
        ConfigError: Dask is asked for where its processes would have no Prefect server to report to.
    """
    if cluster is None:
        return ThreadPoolTaskRunner(max_workers=workers)
    if not PREFECT_API_URL.value():
        raise ConfigError(f"cluster is {cluster}, whose processes need a Prefect server: run make serve first")
    from prefect_dask import DaskTaskRunner

    if cluster != LOCAL:
        return DaskTaskRunner(address=cluster)
    page = f"{HOST}:0"  # said for both, since Dask's own choice is every address of the machine
    pages = {"dashboard_address": page, "worker_dashboard_address": page}
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "host": HOST, **pages})


def _run(
    grid: Sequence[Cell], setup: Setup, runner: TaskRunner[Any], experiment: str, asked: Mapping[str, Any]
) -> State[Any]:
    states = []
    with Console(total=len(grid)) as console:
        measurer = Measurer(setup, console.epoch if asked["workers"] == 1 else ignore_epochs)
        progress = ProgressBar(total=len(grid), what="cells")
        with runner:
            try:
                named = [measure.with_options(task_run_name=cell.name) for cell in grid]
                orders = [Order(cell, setup) for cell in grid]
                futures = [runner.submit(one, {"order": order}) for one, order in zip(named, orders, strict=True)]
                for cell, future in zip(grid, futures, strict=True):
                    states.append(_ended(cell, future, measurer))
                    console.skip(cell.name, str(states[-1].message))
                    progress.stage_over()
            finally:
                measurer.over.set()  # also after Ctrl-C: running cells stop at their next epoch, others never begin
    rows = [row for cell in grid if (row := measurer.results.find(cell.case))]
    publish_comparison([_shown(row) for row in rows])
    tracked = track(measurer.files, rows, experiment, asked, return_state=True)
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


def _ended(cell: Cell, future: PrefectFuture[Any], measurer: Measurer) -> State[Any]:
    """The state of a cell when it is over; its row is kept here, wherever it was measured."""
    future.wait()
    state = future.state
    if not state.is_final():
        return Failed(name=STOPPED, message=f"{cell.name}: the process that measured it is gone; run again")
    try:
        if state.is_completed():
            measurer.adopt(cell, state.result())
    except USER_ERRORS as error:
        return failed(cell.name, error)
    return state


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
    found = parse_changes(arguments, example="ratios=[0.1]")
    for name in found:
        if name not in known:
            raise ConfigError(f"{name} is not a parameter; {suggest(name, known)}")
    lists = {name for name, one in inspect.signature(compare.fn).parameters.items() if isinstance(one.default, list)}
    return {name: [value] if name in lists and not isinstance(value, list) else value for name, value in found.items()}


def described() -> str:
    """The flow's parameters with their defaults, for ``--help``."""
    schema = parameter_schema(compare.fn).properties
    return "\n".join(f"  {name}={dump_value(one['default'])}\n    {one['description']}" for name, one in schema.items())


def _wrong(error: ParameterTypeError) -> str:
    """Prefect's words in one line: ``ratios.0: Input should be less than or equal to 1 …``."""
    lines = [line.strip(" -'[]") for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the flow in this process; exit code 0 when every cell is measured and remembered."""

    def job(asked: Namespace) -> None:
        hush()
        chosen = parameters(asked.parameters)
        with server_starting():
            pass
        try:
            state = completed(compare(**chosen, return_state=True))
        except ParameterTypeError as error:
            raise ConfigError(_wrong(error)) from None
        print(state.message)

    parser = parser_of("flows.compare", __doc__, f"keys with their defaults:\n{described()}")
    parser.add_argument("parameters", nargs="*", metavar="KEY=VALUE", help="one of the keys below; values are YAML")
    return run(parser, arguments, job, INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
