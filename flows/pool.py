"""The work pool: who may run at once, and what becomes of runs that nobody could run.

One queue takes what needs the machine, one run at a time: the second waits in it. Another takes the watcher, which
costs next to nothing and must not wait for hours. The server keeps the limits: they hold for all workers of the pool.
A third is for workers in other checkouts: it takes what stands for itself and needs nothing of this folder.
"""

import hashlib
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType, WorkerStatus
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelled, Crashed, Scheduled
from prefect.types._datetime import now
from prefect.workers.process import ProcessWorker

from flows.env import ROOT

POOL = "dconrec"
HOME, ELSEWHERE = ("machine", "watch"), ("grid",)
"""Queues of the checkout that serves the pool, and of workers in other checkouts."""
QUEUES = {"machine": 1, "watch": 1, "grid": None}
"""Runs at once in the whole pool, by queue; None for as many as there are workers, each of which runs one."""
STARTS = 3
"""A run that was cut off so many times is not started again: it may be what brings the machine down."""
WORKER_LABEL = "prefect.worker.name"
RESUMING = "Resuming"
"""State of a run that was cut off and waits for its next start."""


def worker_name() -> str:
    """The worker of this checkout; a fixed name, so that restarts do not pile up in Prefect's list."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}"


def ensure_pool(client: SyncPrefectClient) -> None:
    """Make the pool and its queues, or bring their limits up to date."""
    template = ProcessWorker.get_default_base_job_template()
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    for name, limit in QUEUES.items():
        try:
            client.create_work_queue(name, concurrency_limit=limit, work_pool_name=POOL)
        except ObjectAlreadyExists:
            queue = client.read_work_queue_by_name(name, work_pool_name=POOL)
            client.update_work_queue(queue.id, concurrency_limit=limit)


def worker_is_online(client: SyncPrefectClient) -> bool:
    """Whether the worker of this checkout has said that it is there."""
    return any(
        worker.name == worker_name() and worker.status == WorkerStatus.ONLINE
        for worker in client.read_workers_for_work_pool(POOL)
    )


def unfinished(client: SyncPrefectClient, queues: Sequence[str] = HOME) -> list[FlowRun]:
    """Runs that the worker of this checkout has taken and not brought to an end; those of others are theirs.

    One that waits for a person is among them: it waits in its process. Started again, it asks again.
    """
    states = (StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING)
    runs = _runs(client, queues, *states)
    return [run for run in runs if run.labels.get(WORKER_LABEL, worker_name()) == worker_name()]


def requeue(client: SyncPrefectClient, runs: Iterable[FlowRun]) -> list[str]:
    """Put runs that were cut off back into their queue: the next worker takes them, and finished stages are kept.

    Without it such a run counts as running for ever, and nothing else gets its place in the queue. Each is looked at
    once more: it may have come to its end since it was found. A worker that ends says of its runs that they crashed.

    Returns:
        Their names.
    """
    names = []
    for found in runs:
        run = client.read_flow_run(found.id)
        if run.state_type in TERMINAL_STATES - {StateType.CRASHED}:
            continue
        if run.state_type == StateType.CANCELLING:
            client.set_flow_run_state(run.id, Cancelled(message="cancelled while nothing was served"), force=True)
        elif run.run_count >= STARTS:
            message = f"cut off {run.run_count} times; see why before you start it again"
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        else:
            before = run.expected_start_time  # so that it keeps its place in the queue
            state: State[Any] = Scheduled(scheduled_time=before, name=RESUMING, message="was cut off")
            client.set_flow_run_state(run.id, state, force=True)
            names.append(run.name)
    return names


def drop_missed(client: SyncPrefectClient) -> int:
    """Of the starts that were due while nothing was served, keep the latest of each deployment; how many were dropped.

    For the start of `make serve` alone: later, what is due waits for its turn.
    """
    earlier = FlowRunFilterExpectedStartTime(before_=now("UTC"))
    missed: defaultdict[UUID | None, list[FlowRun]] = defaultdict(list)
    for run in _runs(client, list(QUEUES), StateType.SCHEDULED, expected_start_time=earlier):
        if run.auto_scheduled and run.state_name != RESUMING:
            missed[run.deployment_id].append(run)
    dropped = 0
    for runs in missed.values():
        *late, _ = sorted(runs, key=lambda run: run.expected_start_time or now("UTC"))
        for run in late:
            client.delete_flow_run(run.id)
        dropped += len(late)
    return dropped


def _runs(
    client: SyncPrefectClient,
    queues: Sequence[str],
    *states: StateType,
    expected_start_time: FlowRunFilterExpectedStartTime | None = None,
) -> list[FlowRun]:
    """Every run of these queues of the pool in one of the states."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=state, expected_start_time=expected_start_time),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
        work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=list(queues))),
        offset=len(found),
    ):
        found += page
    return found
