"""A flow as a command: ``KEY=VALUE`` in, a summary and an exit code out."""

import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from dconrec_core.errors import DConRecError
from flows.alone import alone, starting_prefect
from flows.console import hush
from flows.failure import INTERRUPTED
from flows.frame import parser_of, run
from flows.params import parse_changes, read_params
from flows.states import STOPPED
from tasks.params import PipelineParams
from tasks.versioning import Versions
from tasks.versioning_repair import repair
from tasks.workspace import Workspace


class FlowError(DConRecError):
    """A flow did not complete, for a reason that is not a bug."""


def command(
    flow: Flow[..., Any],
    arguments: Sequence[str],
    summary: Callable[[Workspace], str],
    interrupted: str = INTERRUPTED,
    meanwhile: Callable[[PipelineParams, bool], None] = lambda params, changed: None,
) -> int:
    """Run a flow in this process; exit code 0 when it is complete.

    Args:
        flow: Takes changes of ``params.yaml``, or None.
        arguments: ``KEY=VALUE``, each a change.
        summary: What is printed at the end.
        interrupted: What is printed after Ctrl-C.
        meanwhile: What to do while Prefect's server starts, told the params and whether they are not in the file yet.
    """

    def job(asked: Namespace) -> None:
        hush()
        changes = parse_changes(asked.changes)
        params = read_params(Path(), changes)  # before a server is started for nothing
        Versions(Path()).close()
        with alone():
            for repaired in repair(Path()):
                print(repaired, file=sys.stderr)
            with server_starting():
                meanwhile(params, bool(changes))
            state = completed(flow(changes or None, return_state=True))
        print(summary(Workspace()))
        print(f"\n{state.message}")

    module = sys.modules[flow.fn.__module__]
    parser = parser_of(module.__spec__.name if module.__spec__ else module.__name__, module.__doc__)
    add_changes(parser)
    return run(parser, arguments, job, interrupted)


def add_changes(parser: ArgumentParser) -> None:
    """Let a command take changes of ``params.yaml``."""
    words = "a setting for params.yaml, for instance condense.ratio=0.1; docs/params.md lists them"
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help=words)


def completed(state: State[Any]) -> State[Any]:
    """The state of a flow that is over.

    Raises:
        FlowError: It did not complete; a bug raises what it raised in the flow.
    """
    if not state.is_completed():
        if state.name != STOPPED:
            state.result()
        raise FlowError(str(state.message))
    return state


@contextmanager
def server_starting() -> Iterator[None]:
    """Prefect's own server takes seconds to start; the block is done meanwhile.

    Raises:
        Exception: What Prefect raises where it does not start, after the block.
    """
    failed: list[Exception] = []

    def start() -> None:
        try:
            with starting_prefect():
                get_client(sync_client=True)
        except Exception as error:
            failed.append(error)

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    try:
        yield
    except Exception:
        starting.join()
        raise
    # After Ctrl-C nobody waits: the server has had it too, and its starter may not notice for two minutes.
    starting.join()
    if failed:
        raise failed[0]
