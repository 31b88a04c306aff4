"""``python -m flows.pipeline [KEY=VALUE ...]``: the main flow, every stage in order, each only if DVC finds it stale.

Prefect decides when a stage runs, retries and shows; DVC decides what is stale and versions the files.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from dconrec_core.options import EpochEvent, RunOptions
from flows.alone import alone
from flows.artifacts import ProgressBar, publish_results
from flows.command import command
from flows.console import Console
from flows.failure import USER_ERRORS, one_line
from flows.hooks import remember_failure
from flows.params import check_names, read_params, write_changes
from flows.results import draw, read_results
from flows.stages import BY_NAME, STAGES, Stage
from flows.states import RETRY_SECONDS, STOPPED, ended, failed, is_unreachable
from flows.verdict import verdict
from tasks.naming import run_name
from tasks.outputs import read_json
from tasks.params import PipelineParams
from tasks.result_table import table
from tasks.versioning import VersioningError, Versions
from tasks.versioning_repair import repair
from tasks.workspace import Workspace

FRESH, RESTORED = "Fresh", "Restored"
"""States of a stage that did not run: nothing to do, or its outputs were in DVC's cache."""


class Job:
    """One run of the pipeline. A plain class, so that Prefect hands it to tasks as it is."""

    def __init__(self, versions: Versions) -> None:
        self.versions, self.files = versions, Workspace()
        self.console, self.progress = Console(total=len(STAGES)), ProgressBar(total=len(STAGES))
        self._checked: PipelineParams | None = None

    def run(self, stage: Stage) -> State[Any]:
        """Do one stage if it is stale, or fetch what an earlier run with the same inputs left."""
        reasons = self.versions.reasons(stage.name)
        if not reasons:
            self.console.skip(stage.name, "up to date")
            return Completed(name=FRESH, message="nothing it depends on has changed")
        before, params = self.versions.inputs(stage.name), self._read_params()
        self.console.begin(stage.name, stage.job)
        get_run_logger().info("%s is stale: %s", stage.name, ", ".join(reasons))
        if self.versions.restore(stage.name):
            self.console.end("from the cache of an earlier run")
            return Completed(name=RESTORED, message="outputs of an earlier run with the same inputs")
        stage.run(params, self.files, self._options(params))
        _require_same(before, self.versions.inputs(stage.name))
        self.versions.commit(stage.name)
        self.console.end(stage.outcome(self.files))
        return Completed(message=f"ran because: {', '.join(reasons)}"[:1000])

    def _read_params(self) -> PipelineParams:
        """The file as it is now, as DVC takes it; not once for all stages, since it may be edited while one runs."""
        params = read_params(Path())
        if params != self._checked:  # not before something must run: it takes seconds to import the registries
            check_names(params)
            self._checked = params
        return params

    def _options(self, params: PipelineParams) -> RunOptions:
        return RunOptions(params.seed, params.device, on_epoch=self._epoch, checkpoints=self.files.checkpoints)

    def _epoch(self, event: EpochEvent, /) -> None:
        self.console.epoch(event)
        self.progress.epoch(event)


def _require_same(before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """What a stage depends on must not have changed while it ran: DVC would remember its outputs as those of ``after``.

    Raises:
        VersioningError: It has.
    """
    if changed := [name for name in {**before, **after} if before.get(name) != after.get(name)]:
        raise VersioningError(f"{', '.join(changed)} changed while it ran, so its outputs are not kept; run again")


@task(
    cache_policy=NO_CACHE,  # DVC alone decides what is stale
    persist_result=False,
    retry_condition_fn=is_unreachable,
)
def run_stage(name: str, job: Job) -> State[Any]:
    """One stage of the table; a failure that is not a bug becomes a state with one line and no traceback."""
    try:
        return job.run(BY_NAME[name])
    except USER_ERRORS as error:
        return failed(name, error)


def as_task(stage: Stage) -> Task[..., State[Any]]:
    """The task under the stage's own name, with its retries and its timeout."""
    return run_stage.with_options(
        name=stage.name,
        task_run_name=stage.name,
        description=stage.job,  # and no tags: with any, Prefect asks its server for each stage whether a limit holds
        retries=stage.retries,
        retry_delay_seconds=RETRY_SECONDS,
        timeout_seconds=stage.timeout.total_seconds(),
    )


def _flow_run_name() -> str:
    try:
        return run_name(read_params(Path(), flow_run.parameters.get("changes")))
    except USER_ERRORS:
        return "unreadable params.yaml"  # the flow says what is wrong with it


@flow(
    name="dconrec",
    flow_run_name=_flow_run_name,
    persist_result=False,
    on_failure=[remember_failure],
    on_crashed=[remember_failure],
)
def pipeline(changes: dict[str, Any] | None = None) -> State[Any]:
    """Ingest, validate, split, pretrain, augment, condense, evaluate, report, register.

    Args:
        changes: Keys of ``params.yaml`` to set first, for instance ``{"condense.ratio": 0.1}``.
    """
    try:
        with alone(), Versions(Path()) as versions:
            repair(Path())  # a worker starts here, and not with a command
            if changes:
                write_changes(Path(), changes)
            read_params(Path())  # a file that cannot be read is the fault of no stage
            return _run_stages(Job(versions))
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))


def _run_stages(job: Job) -> State[Any]:
    did = []
    for stage in STAGES:
        state = as_task(stage)(stage.name, job, return_state=True)
        if not state.is_completed():
            job.console.close()
            return ended(state)
        job.progress.stage_over()
        did += [stage.name] if state.name != FRESH else []
    publish_results(table(read_results(job.files)), job.files)
    return Completed(message=f"did {', '.join(did)}" if did else "nothing to do: every stage is up to date")


def summary(files: Workspace) -> str:
    """The small table and where to look."""
    registration = read_json(files.registration)
    return "\n".join(
        (
            "",
            draw(table(read_results(files))),
            "",
            f"report      {files.report}",
            f"condensed   {files.condensed}/  (card.md says what it is and how to load it)",
            f"registered  {registration['uri']}, {verdict(registration)}",
            "compare     make ui  (MLflow: runs, curves, registered sets; Prefect: flow runs)",
        )
    )


def get_ready(params: PipelineParams, changed: bool) -> None:
    """Import what the summary asks; check all names, which imports what the stages need, if one is to run or may be."""
    import tasks.model_registry  # noqa: F401

    with Versions(Path()) as versions:
        if changed or any(versions.reasons(stage.name) for stage in STAGES):
            check_names(params)


def main(arguments: list[str]) -> int:
    """Run the flow in this process; exit code 0 when every stage is done or fresh."""
    return command(pipeline, arguments, summary, meanwhile=get_ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
