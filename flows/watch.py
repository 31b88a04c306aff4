"""The flow behind ``on-new-data``: start a deployment when the raw data have changed.

DVC already knows whether they have, since ``data/input`` is what the ingest stage depends on; a file that was only
touched is no reason. Which change a run is for is its idempotency key: Prefect itself keeps it to one run a change.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from dconrec_core.data.local import INPUT
from dconrec_core.errors import ConfigError
from flows.failure import USER_ERRORS, one_line
from flows.hooks import remember_failure
from flows.states import STOPPED
from tasks.versioning import BusyError, Versions

STAGE = "ingest"
Startable = Literal["nightly", "compare"]
UNCHANGED, UNSETTLED, STARTED = "Unchanged", "Unsettled", "Started"
"""States of a look: nothing new; files are still being written, or DVC is busy; a run was asked for."""


@flow(
    name="watch",
    persist_result=False,
    timeout_seconds=timedelta(minutes=10).total_seconds(),
    on_failure=[remember_failure],
    on_crashed=[remember_failure],
)
def watch(
    start: Startable = "nightly",
    rest_seconds: Annotated[float, Field(ge=0)] = 30,
) -> State[Any]:
    """Look once whether the files in `data/input` are other ones than those ingested last.

    Args:
        start: The deployment to start when they are.
        rest_seconds: For how long no file may have changed: a copy that is not finished is no data.
    """
    try:
        if (age := seconds_at_rest(INPUT)) < rest_seconds:  # before DVC reads all of them, with its lock held
            return Completed(name=UNSETTLED, message=f"{INPUT} changed {age:.0f} s ago; the next look decides")
        if not is_new():
            return Completed(name=UNCHANGED, message=f"{INPUT} is as it was ingested")
        message = ask_for(start, fingerprint(INPUT))
    except BusyError as error:
        return Completed(name=UNSETTLED, message=f"{one_line(error)}; the next look decides")
    except USER_ERRORS as error:
        return Failed(name=STOPPED, message=one_line(error))
    get_run_logger().info(message)
    return Completed(name=STARTED, message=message)


def is_new() -> bool:
    """Whether DVC finds other files in ``data/input`` than the last ingest read; a first ingest is not waited for."""
    with Versions(Path(), wait=False) as versions:
        return any(reason.startswith(f"{INPUT} ") for reason in versions.reasons(STAGE))


def seconds_at_rest(folder: Path) -> float:
    """Seconds between now and the nearest time at which a file, or what a folder holds, was changed.

    A time far ahead comes from another clock and says nothing of today's, while a file server's clock may be a little
    ahead of this one: so either side of now counts, and the newest time alone does not.
    """
    facts = [folder.stat(), *(facts for _, facts in _found(folder))]
    return min(abs(time.time() - one.st_mtime) for one in facts)


def _found(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All below the folder but what is not there any more when it is looked at; nor is what a dangling link names."""
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            yield path, facts


def fingerprint(folder: Path) -> str:
    """Names, sizes and times of the files: what one change differs by from the next, read in no time.

    The time is that of the inode: a copy may bring an old time of its content along (``cp -p``, ``rsync -t``), and a
    file that comes back in place of another is a change of its own.
    """
    digest = hashlib.sha256()
    for path, facts in sorted(_found(folder)):
        if stat.S_ISREG(facts.st_mode):
            digest.update(f"{path.as_posix()}\0{facts.st_size}\0{facts.st_ctime_ns}\n".encode())
    return digest.hexdigest()[:16]


def ask_for(deployment: str, change: str) -> str:
    """Create the run for this change, unless it is there; which one, in words."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
        )
        if not found:
            raise ConfigError(f"start: there is no deployment {deployment!r}; see `make status`, or run `make deploy`")
        run = client.create_flow_run_from_deployment(
            found[0].id, idempotency_key=f"{deployment} {change}", tags=["on-new-data", change]
        )
    return f"{INPUT} has changed: {deployment} run {run.name!r} is for it ({run.state_name})"
