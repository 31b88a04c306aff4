"""A flow as a command: ``KEY=VALUE`` in, a summary and an exit code out."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows.alone import alone
from flows.console import hush
from flows.env import ROOT
from flows.failure import INTERRUPTED, USER_ERRORS, one_line
from flows.params import parse_changes, read_params
from flows.states import STOPPED
from tasks.params import PipelineParams
from tasks.versioning import Versions
from tasks.versioning_repair import repair
from tasks.workspace import Workspace


def command(
    flow: Callable[..., State[Any]],
    arguments: list[str],
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
    set_up_process()
    try:
        changes = parse_changes(arguments)
        params = read_params(Path(), changes)  # before a server is started for nothing
        Versions(Path()).close()
        with alone():  # two first runs would start two servers on one fresh database
            for repaired in repair(Path()):
                print(repaired, file=sys.stderr)
            with server_starting():
                meanwhile(params, bool(changes))
            state = flow(changes or None, return_state=True)
        if state.is_completed():
            print(summary(Workspace()))
            print(f"\n{state.message}")
            return 0
        if state.name != STOPPED:
            state.result()
        print(state.message, file=sys.stderr)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 1


def set_up_process() -> None:
    """What every command that runs a flow does first."""
    os.chdir(ROOT)  # so that messages name paths as the project does
    hush()
    # As an exit does: otherwise Prefect's own server, which this process started, would stay.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextmanager
def server_starting() -> Iterator[None]:
    """Prefect's own server takes seconds to start; the block is done meanwhile.

    Raises:
        Exception: What Prefect raises where it does not start, after the block.
    """
    failed: list[Exception] = []

    def start() -> None:
        try:
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
