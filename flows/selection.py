"""``python -m flows.selection [KEY=VALUE ...]``: rank configurations on the condensed set and on full data.

A flow of its own on what the pipeline left: one Prefect task a configuration and side, so that its UI shows each with
its seconds. They run one at a time: seconds are compared here, and two trainings at once slow each other.
"""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from dconrec_core.errors import DataError
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.selection import Agreement, Measured
from flows.alone import alone
from flows.artifacts import ProgressBar, publish_selection
from flows.command import command
from flows.console import Console, spell_seconds
from flows.failure import USER_ERRORS, one_line
from flows.params import check_names, read_params, write_changes
from flows.stages import STAGES
from flows.states import KEPT, RETRY_SECONDS, STOPPED, Interrupted, ended, failed, is_unreachable
from tasks.naming import run_name
from tasks.outputs import read_json
from tasks.params import PipelineParams
from tasks.selection import PIPELINE_FIRST, Selection, Training, agreement_of
from tasks.versioning import Versions
from tasks.workspace import Workspace

INTERRUPTED = "interrupted; run again to go on from the last finished training"


class Job:
    """One run of the flow. A plain class, so that Prefect hands it to tasks as it is."""

    def __init__(self, params: PipelineParams, files: Workspace) -> None:
        options = RunOptions(device=params.device, on_epoch=self._epoch, checkpoints=files.checkpoints)
        self.params, self.files = params, files
        self.selection = Selection(params.select, files, options, params.evaluate.fold_in)
        self.console = Console(total=self.selection.n_trainings)
        self.progress = ProgressBar(total=self.selection.n_trainings, what="trainings")
        self.over = threading.Event()
        self.result: Mapping[str, Any] = {}

    def train(self, training: Training) -> State[Any]:
        """Do one training, unless an earlier run did."""
        if measured := self.selection.finished(training):
            self.console.skip(self._label(training), f"{described(measured)}, from an earlier run")
            return Completed(name=KEPT, message=described(measured))
        self.console.begin(self._label(training), "")
        measured = self.selection.measure(training)
        self.console.end(described(measured))
        get_run_logger().info("%s: %s, %.2f s", training.name, described(measured), measured.seconds)
        return Completed(message=described(measured))

    def _label(self, training: Training) -> str:
        configurations, sides = self.selection.configurations, self.selection.sides
        return training.name.ljust(max(len(Training(one, side).name) for one in configurations for side in sides))

    def _epoch(self, event: EpochEvent, /) -> None:
        # No progress artifact here: it is a request to the server, and the clock of the training is running.
        if self.over.is_set():
            raise Interrupted("interrupted")
        self.console.epoch(event)


@task(cache_policy=NO_CACHE, persist_result=False)
def train(training: Training, job: Job) -> State[Any]:
    """One configuration on one side."""
    try:
        if job.over.is_set():
            raise Interrupted("not begun")
        state = job.train(training)
        job.progress.stage_over()
        return state
    except BaseException as error:
        job.over.set()  # here, since the worker takes the next training before the flow hears of this one
        if isinstance(error, USER_ERRORS):
            return failed(training.name, error)
        raise


@task(
    name="track",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_unreachable,
)
def track(job: Job) -> State[Any]:
    """Remember the selection in MLflow."""
    from tasks.selection_tracking import track_selection

    try:
        run_id = track_selection(job.params, job.files, job.result)
        return Completed(message=f"MLflow run {run_id} in {job.params.select.experiment}")
    except USER_ERRORS as error:
        return failed("track", error)


def _flow_run_name() -> str:
    try:
        return f"{run_name(read_params(Path(), flow_run.parameters.get('changes')))} selection"
    except USER_ERRORS:
        return "unreadable params.yaml"  # the flow says what is wrong with it


@flow(
    name="dconrec-selection",
    flow_run_name=_flow_run_name,
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=1),
)
def select(changes: dict[str, Any] | None = None) -> State[Any]:
    """Train every configuration on both sides (on full data perhaps a shortlist), compare the rankings, remember them.

    Args:
        changes: Keys of ``params.yaml`` to set first, for instance ``{"select.seed": 1}``.
    """
    try:
        with alone(), Versions(Path()) as versions:
            if changes:
                write_changes(Path(), changes)
            params, files = read_params(Path()), Workspace()
            check_names(params)
            require_condensed(versions, files)
            return _run(Job(params, files))
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))


def require_condensed(versions: Versions, files: Workspace) -> None:
    """The condensed set must be the one that ``params.yaml`` asks for.

    Raises:
        DataError: It is missing, or a stage that leads to it is stale.
    """
    if not files.condensed.is_dir():
        raise DataError(f"{files.condensed} does not exist; {PIPELINE_FIRST}")
    names = [stage.name for stage in STAGES]
    for name in names[: names.index("condense") + 1]:
        if reasons := versions.reasons(name):
            raise DataError(f"{files.condensed} is not up to date ({name}: {reasons[0]}); {PIPELINE_FIRST}")


def _run(job: Job) -> State[Any]:
    names: list[str | None] = []
    try:
        for trainings in job.selection.rounds():
            for future in _submitted(job, trainings):
                future.wait()
                state = future.state
                if not state.is_completed():
                    return ended(state)
                names.append(state.name)
    finally:
        job.over.set()  # also after Ctrl-C: the running training stops at its next epoch, the others never begin
        job.console.close()
    job.result = job.selection.write()
    publish_selection(rows_of(job.result), job.files)
    tracked = track(job, return_state=True)
    if not tracked.is_completed():
        return ended(tracked)
    kept = names.count(KEPT)
    return Completed(message=f"{len(names) - kept} trained, {kept} from earlier runs; {tracked.message}")


def _submitted(job: Job, trainings: list[Training]) -> list[PrefectFuture[Any]]:
    futures = []
    for training in trainings:
        named = train.with_options(name=training.side.name, task_run_name=training.name)
        whole: Any = quote(training)  # Prefect would look through all that it holds
        futures.append(named.submit(whole, job))
    return futures


def described(measured: Measured) -> str:
    """What a finished training showed, in a few words."""
    return f"failed: {measured.failure}" if measured.failure else f"valid NDCG@10 {measured.valid:.4f}"


def rows_of(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row of text a configuration, the best on the condensed side first."""
    return [
        {
            "configuration": row["configuration"],
            **{
                heading: f"{row[side][key]:.4f}" if row[side] else "–"
                for heading, side, key in (
                    ("condensed, valid", "condensed", "valid"),
                    ("full, valid", "full", "valid"),
                    ("full, test", "full", "test"),
                )
            },
            **{f"{side} s": f"{row[side]['seconds']:.2f}" if row[side] else "–" for side in ("condensed", "full")},
        }
        for row in sorted(result["rows"], key=lambda row: -row["condensed"]["valid"])
    ]


def summary(files: Workspace) -> str:
    """What was compared, what it says, and where to look."""
    result = read_json(files.selection)
    found = agreement_of(result)
    inductive = "inductive, " if result["inductive"] else ""
    return "\n".join(
        (
            "",
            f"compared    {found.n_configurations} configurations, on {result['n_condensed']:,} interactions by "
            f"{result['condenser']} ({inductive}{result['ratio']:.2%}), "
            f"{'the best few' if result['shortlist'] else 'and'} on {result['n_full']:,}",
            *(_of_shortlist(found, result) if result["shortlist"] else _of_all(found, result)),
            f"page        {files.selection_page}",
            "compare     make ui  (MLflow: one run a configuration)",
        )
    )


def _of_all(found: Agreement, result: Mapping[str, Any]) -> list[str]:
    """Both choices, and how well the rankings agree."""
    return [
        f"agreement   Kendall's tau {_plain(found.kendall_tau)} by validation NDCG@10, "
        f"{_plain(found.kendall_tau_test)} with test NDCG@10 on full data",
        f"chosen      {found.chosen}",
        f"best        {found.best}  (on full data, by valid)",
        f"regret      {_percent(found.regret)} of test NDCG@10, {_percent(found.regret_at_random)} by lot",
        f"time        {_time(found)}",
        "shortlist   " + "\n            ".join(map(_shortlist, result["shortlists"])),
    ]


def _of_shortlist(found: Agreement, result: Mapping[str, Any]) -> list[str]:
    """What to take."""
    full = {row["configuration"]: row["full"] for row in result["rows"] if row["full"]}
    return [
        f"first       {found.chosen}  (on the condensed set, by valid)",
        f"take        {found.best}  (the best of {len(full)} on full data, by valid: test NDCG@10 "
        f"{full[found.best]['test']:.4f})",
        f"time        {_time(found)}",
    ]


def _shortlist(one: Mapping[str, Any]) -> str:
    """One line: how many of the first, trained on full data too, leave what regret for how much of the time."""
    ratio = f"; all take {one['time_ratio']:.1f} times as long" if one["time_ratio"] else ""
    many = "the first" if one["size"] == 1 else f"the first {one['size']}"
    return f"{many} on full data too: regret {_percent(one['regret'])}, {spell_seconds(one['seconds'])}{ratio}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _time(found: Agreement) -> str:
    times = f", {found.time_ratio:.1f} times as long" if found.time_ratio else ""
    return f"{spell_seconds(found.seconds_condensed)} condensed, {spell_seconds(found.seconds_full)} full data{times}"


def main(arguments: list[str]) -> int:
    """Run the flow in this process; exit code 0 when everything is trained, written and remembered."""
    return command(select, arguments, summary, INTERRUPTED, meanwhile=lambda params, changed: check_names(params))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
