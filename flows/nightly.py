"""The flow ``nightly``: append an increment, condense from the champion on, let the gate or a person decide.

``python -m flows.nightly [--increment FILE] [--[no-]approve] [KEY=VALUE ...]`` runs it in this process.
"""

import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from dconrec_core.data.local import INPUT
from dconrec_core.errors import ConfigError
from flows.alone import alone
from flows.command import add_changes, completed, server_starting
from flows.console import hush
from flows.env import ROOT
from flows.failure import INTERRUPTED, USER_ERRORS, one_line
from flows.frame import parser_of, run
from flows.hooks import remember_failure
from flows.params import check_names, parse_changes, read_params
from flows.pipeline import pipeline
from flows.states import RETRY_SECONDS, STOPPED, ended, failed, is_unreachable
from flows.verdict import verdict
from tasks.outputs import read_json
from tasks.params import PipelineParams
from tasks.versioning import Versions
from tasks.versioning_repair import repair
from tasks.workspace import Workspace

PATIENCE = 24 * 3600
"""Seconds a person has to answer; the champion stays when nobody does."""


class Approval(RunInput):
    """What a person is asked before a set that passed the gate becomes champion."""

    promote: bool
    reason: str = ""


@task(name="append", cache_policy=NO_CACHE, persist_result=False)
def append_increment(increment: str, params: PipelineParams) -> State[Any]:
    """Check the increment, append it, make the result a version of DVC; the message says what to commit."""
    from tasks.refresh import Increments, append, user_file

    try:
        path = user_file(params.dataset).path
        _require_noticed(path)
        with alone(), Versions(Path()) as versions:
            appended = append(params.dataset, params.refresh, params.checks, Path(increment), Workspace())
            version = versions.add(path)
        if not appended:
            return Completed(message=f"{increment} was there already; version {version}")
        commit = f"commit {path}.dvc and {Increments(path).path}, so that other clones know of it"
        return Completed(message=f"{increment} appended; version {version}; {commit}")
    except USER_ERRORS as error:
        return failed("append", error)


@task(
    name="decide",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_unreachable,
)
def decide(answer: Approval | None, version: str, params: PipelineParams) -> State[Any]:
    """Write the person's answer to the version that was asked about, and move the alias if it is yes.

    While the question stood, another run may have registered a newer set, or somebody may have decided elsewhere: an
    answer to an old question then changes nothing.
    """
    from tasks.model_registry import registry_of

    try:
        registry = registry_of(params)
        if not registry.is_waiting(version):
            return Completed(message=f"version {version} no longer waits for an answer; the champion stays")
        if answer is None:
            registry.decline(version, "nobody answered in time", "gate")
            return Completed(message=f"version {version} declined: nobody answered in time")
        act = registry.promote if answer.promote else registry.decline
        act(version, answer.reason or "no reason given", "a person")
        return Completed(message=f"version {version} {'promoted' if answer.promote else 'declined'} by a person")
    except USER_ERRORS as error:
        return failed("decide", error)


@flow(name="nightly", persist_result=False, on_failure=[remember_failure], on_crashed=[remember_failure])
def nightly(
    increment: str | None = None, approve: bool | None = None, changes: dict[str, Any] | None = None
) -> State[Any]:
    """Append, check, condense from the champion on, compare, decide.

    Args:
        increment: A file of new interactions, relative to the project; none to run on what is there.
        approve: Whether a set that passes the gate waits for a person: the flow pauses and asks. None for what
            ``registration.approval`` of params.yaml says.
        changes: Keys of ``params.yaml`` to set first.
    """
    try:
        with alone():
            repair(Path())  # a worker starts here, and an increment is a version of DVC before the pipeline begins
        params = read_params(Path(), changes)
        own = {**(changes or {}), **({} if approve is None else {"registration.approval": approve})}
        if increment:
            _require_stable_split(params)
            if "condense.start" not in own:
                own["condense.start"] = _champion(params)
            check_names(read_params(Path(), own))  # before the file grows
            appended = append_increment(increment, params, return_state=True)
            if not appended.is_completed():
                return ended(appended)
            get_run_logger().info("%s", appended.message)
        ran = pipeline(own or None, return_state=True)
        if not ran.is_completed():
            return ended(ran)
        return _decided(read_params(Path()), ran)
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))


def _require_stable_split(params: PipelineParams) -> None:
    split = read_json(Workspace().split / "split.json", optional=True)
    drawn = split.get("valid_drawn") and split["strategy"] == params.split.strategy
    if params.split.strategy == "random" or drawn:
        raise ConfigError(
            f"split.strategy is {params.split.strategy}, whose valid part an increment deals anew: the champion would "
            "be asked what it learned from; set split.strategy: temporal"
        )


def _require_noticed(path: Path) -> None:
    if not path.resolve().is_relative_to(INPUT.resolve()):
        raise ConfigError(
            f"dataset.config.path is {path}, outside {INPUT}, so ingest would not notice that it has grown; move it "
            f"and set dataset.config.path: {INPUT / path.name}"
        )


def _champion(params: PipelineParams) -> str | None:
    """The SHA-256 of the champion, fetched for the condenser to go on from; None where it cannot."""
    from dconrec_core.condensation.dataset import read_card
    from tasks.model_registry import SHA256, registry_of
    from tasks.warm import WARM

    if not params.refresh.warm or params.condense.name not in WARM:
        return None
    registry = registry_of(params)
    if (champion := registry.champion()) is None:
        return None
    sha256 = champion.tags[SHA256]
    registry.fetch_version(Workspace().champions / sha256, champion)
    return sha256 if read_card(Workspace().champions / sha256).synthetic else None


def _decided(params: PipelineParams, ran: State[Any]) -> State[Any]:
    from tasks.model_registry import registry_of

    registration = read_json(Workspace().registration)
    version = str(registration["version"])
    if not (params.registration.approval and registry_of(params).is_waiting(version)):
        return Completed(message=f"{ran.message}; version {version}: {verdict(registration)}")
    hours = f"{PATIENCE / 3600:g} h"  # on the terminal, where Prefect's log is hushed
    print(
        f"version {version} waits for you ({hours}): make ui, then Resume {flow_run.name!r}",
        file=sys.stderr,
        flush=True,
    )
    question = "\n".join(f"- {one['rule']}: {one['reason']}" for one in registration["gate"])
    asked = Approval.with_initial_data(
        description=f"Make version {version} of {registration['model']} champion?\n\n{question}",
        promote=True,
    )
    anew = str(uuid4())  # a run that was cut off while it asked asks again; for one key Prefect pauses a run only once
    try:
        answer: Approval | None = pause_flow_run(wait_for_input=asked, timeout=PATIENCE, poll_interval=POLL, key=anew)
    except FlowPauseTimeout:
        answer = None
    state = decide(answer, version, params, return_state=True)
    if not state.is_completed():
        return ended(state)
    return Completed(message=state.message)  # of a task's own state Prefect would say that all states completed


POLL = 5
"""Seconds between two looks for the answer."""


def _as_typed(path: str) -> str:
    """Seen from the project's folder, wherever the command was typed; the list of increments names it so."""
    whole = Path(path).resolve()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)


def main(arguments: Sequence[str]) -> int:
    """Run the flow in this process; exit code 0 when a decision is written."""

    def job(asked: Namespace) -> None:
        hush()
        changes = parse_changes(asked.changes)
        read_params(Path(), changes)
        with server_starting():
            pass
        print(completed(nightly(asked.increment, asked.approve, changes or None, return_state=True)).message)

    parser = parser_of("flows.nightly", __doc__)
    parser.add_argument("--increment", type=_as_typed, help="file of new interactions")
    parser.add_argument(
        "--approve",
        action=BooleanOptionalAction,
        help="pause and ask before anything becomes champion; without it, as registration.approval says",
    )
    add_changes(parser)
    return run(parser, arguments, job, INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
