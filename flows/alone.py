"""One pipeline at a time in one folder: two would write the same files, and would spoil each other's seconds.

And one start of Prefect's server at a time.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dconrec_core.atomic import write_json
from dconrec_core.errors import ConfigError
from flows.served import home
from tasks.leftovers import sweep

LOCK = Path(".dvc/tmp/pipeline.lock")
HOLDER = LOCK.with_suffix(".json")
"""Who holds the lock; says nothing while nobody does."""


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder for the block, and remove what a predecessor that was killed had not finished writing.

    The system frees the lock when its holder ends, however that ends. A process may take it again inside the block.

    Raises:
        ConfigError: Another process holds it; the message says which.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"another pipeline{_holder()} works in this folder; wait for it, or work in a second clone"
        ) from None
    try:
        if lock.lock_counter == 1:
            since = datetime.now().astimezone().isoformat(timespec="seconds")
            write_json(HOLDER, {"pid": os.getpid(), "since": since, "command": shlex.join(sys.orig_argv)})
            sweep(Path())
        yield
    finally:
        lock.release()


@contextmanager
def starting_prefect() -> Iterator[None]:
    """Nobody else starts a server on this checkout's Prefect database meanwhile: two at once spoil a fresh one."""
    home().mkdir(parents=True, exist_ok=True)
    with FileLock(home() / "start.lock"):
        yield


def _holder() -> str:
    """The process that wrote the note, in brackets; nothing where there is no note to read."""
    try:
        note = json.loads(HOLDER.read_text(encoding="utf-8"))
        return f" (process {note['pid']} since {note['since']}: {' '.join(note['command'].split())[:120]})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
