"""``python -m flows.status``: what is served and where, what runs and what waits, when each deployment runs next."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flows.console import columns, spell_seconds
from flows.frame import parser_of, run
from flows.processes import marked
from flows.served import Served, answers, home, read_served

HEADER = ("deployment", "schedule", "next run", "last run", "")


def served_lines(served: Served | None) -> str:
    """Where the pages are and since when; or what to do."""
    if served is None:
        return "nothing is served here; `make serve` starts Prefect, MLflow and a worker"
    alive = len(marked(served.mark))
    if not alive:
        return "nothing is served here: `make serve` was killed, and the machine has lost its processes; start it again"
    since = datetime.fromisoformat(served.since)
    lines = [f"served since   {since:%Y-%m-%d %H:%M} ({_ago(since)}), processes: {alive}, first of them {served.pid}"]
    for name, address in (("Prefect", served.prefect), ("MLflow", served.mlflow)):
        lines.append(f"{name:<14} {address}{'' if answers(address) else '  does not answer; make stop, make serve'}")
    lines.append(f"{'worker':<14} {'yes' if served.worker else 'no: pages alone, no run is started'}")
    lines.append(f"{'commands':<14} export PREFECT_API_URL={served.api}")
    return "\n".join(lines)


def deployments() -> str:
    """The table of deployments: schedule, next run, last run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort

    rows = []
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(sort=DeploymentSort.NAME_ASC):
            runs = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id])),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            )
            waiting = [run for run in runs if run.state_type == StateType.SCHEDULED]
            begun = [run for run in runs if run.state_type != StateType.SCHEDULED]
            schedules = [schedule_in_words(one) for one in deployment.schedules]
            rows.append(
                (
                    deployment.name,
                    ", ".join(schedules) or "by hand",
                    _when(waiting[-1].expected_start_time) if waiting else "–",
                    _when(begun[0].start_time or begun[0].expected_start_time) if begun else "–",
                    _outcome(begun[0]) if begun else "",
                )
            )
    if not rows:
        return "no deployments yet; `make deploy` registers those of prefect.yaml"
    return "\n".join(columns([HEADER, *rows]))


def current() -> str:
    """Runs that are on their way, and those whose time has come and that wait for the machine."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    def lines(word: str, runs: Sequence[Any]) -> list[str]:
        times = [(run, run.start_time or run.expected_start_time) for run in runs]
        return [f"{word:<14} {run.name} ({run.state_name}, {_ago(time)})" for run, time in times]

    def of(*types: StateType, **filters: Any) -> Sequence[Any]:
        state = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state, **filters))

    with get_client(sync_client=True) as client:
        running = of(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
        due = FlowRunFilterExpectedStartTime(before_=datetime.now().astimezone())
        waiting = of(StateType.SCHEDULED, expected_start_time=due)
        asking = of(StateType.PAUSED)
    return "\n".join([*lines("running", running), *lines("waiting", waiting), *lines("asks you", asking)])


def schedule_in_words(entry: Any) -> str:
    """When a deployment starts by itself."""
    schedule = entry.schedule
    words = getattr(schedule, "cron", None) or getattr(schedule, "rrule", None)
    if words:
        words = f"{words} {schedule.timezone or 'UTC'}"  # the times beside it are local
    else:
        words = f"every {spell_seconds(schedule.interval.total_seconds())}"
    return words if entry.active else f"{words} (paused)"


def _outcome(run: Any) -> str:
    message = " ".join((run.state.message or "").split()) if run.state else ""
    return f"{run.state_name}: {message}"[:100] if message else str(run.state_name)


def _when(time: datetime | None) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}" if time else "–"


def _ago(time: datetime | None) -> str:
    if time is None:
        return "–"
    return f"{spell_seconds(max(datetime.now().timestamp() - time.timestamp(), 0))} ago"


def show(asked: Namespace) -> None:
    """Print what is served, and what the server knows."""
    print(served_lines(read_served(home())))
    if "PREFECT_API_URL" in os.environ:
        print(f"\n{deployments()}")
        if lines := current():
            print(f"\n{lines}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 also when nothing is served: that is an answer."""
    return run(parser_of("flows.status", __doc__), arguments, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
