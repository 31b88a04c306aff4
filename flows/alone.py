"""One flow at a time in one folder: two would write the same files, and would spoil each other's seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dconrec_core.errors import ConfigError


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder for the block.

    Raises:
        ConfigError: Another flow does.
    """
    lock = FileLock(Path(".dvc/tmp/pipeline.lock"))
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError("another pipeline runs in this folder; wait for it, or work in a second clone") from None
    try:
        yield
    finally:
        lock.release()
