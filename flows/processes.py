"""Processes that belong together: marked by a word in their environment, found by it, and stopped to the last one.

A process id says nothing: it may have been given to a stranger since. The environment that a process was started with
stays with it, and everything it starts inherits it, so the mark finds what was orphaned too.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "DCONREC_SERVED"
PATIENCE = 15.0
"""Seconds between the polite signal and the last one."""


def marked(word: str) -> set[int]:
    """Ids of the living processes that carry ``word`` or ``word/part``, this one apart."""
    ids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in ids if pid != os.getpid() and carries(pid, word)}


def carries(pid: int, word: str) -> bool:
    """Whether a process lives and carries the mark; one that has ended and waits for its parent does not."""
    try:
        settings = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False
    whole = f"{MARK}={word}".encode()
    return any(setting == whole or setting.startswith(whole + b"/") for setting in settings)


def tell(pids: Iterable[int], word: str, number: signal.Signals) -> None:
    """Send a signal to each process that still carries the mark."""
    for pid in pids:
        with suppress(ProcessLookupError), _held(pid) as process:
            if carries(pid, word):  # read after the process is held, so that a successor of the same id is safe
                signal.pidfd_send_signal(process, number)


def stop_marked(word: str, patience: float = PATIENCE) -> int:
    """End every process that carries the mark, in the end by force; how many there were."""
    found = marked(word)
    tell(found, word, signal.SIGTERM)
    end = time.monotonic() + patience
    while (left := marked(word)) and time.monotonic() < end:
        tell(left - found, word, signal.SIGTERM)  # started in the meantime
        found |= left
        time.sleep(0.1)
    while left := marked(word):
        tell(left, word, signal.SIGKILL)
        found |= left
        time.sleep(0.05)
    return len(found)


@contextmanager
def _held(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)
