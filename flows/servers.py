"""The processes behind one ``make serve`` or ``make work``: started together, watched together, each with its log."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from dconrec_core.errors import DConRecError
from flows.processes import MARK
from flows.served import HOST, Served

START_SECONDS, TRIES = 120, 20

_claims: list[FileLock] = []
"""Of ports, held while this process lives."""


class ServerError(DConRecError):
    """Something could not be served."""


class Site:
    """The processes behind one ``make serve``, each with its log.

    Args:
        served: Where they answer, and the mark they carry.
        logs: Folder of their logs; the log of the time before is kept beside each.
    """

    def __init__(self, served: Served, logs: Path) -> None:
        self.served, self.logs = served, logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: list[str], environment: Mapping[str, str], part: str = "") -> None:
        """Start one process in a session of its own: Ctrl-C reaches this process alone, which then stops the others.

        What is secret is in its environment and never among its arguments, which everyone on this machine can read.
        """
        log = self.log(name)
        if log.is_file():
            log.replace(log.with_suffix(".log.1"))
        mark = f"{self.served.mark}/{part}" if part else self.served.mark
        with log.open("wb") as stream:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Where a process writes what it has to say."""
        return self.logs / f"{name.lower()}.log"

    def wait_until(self, name: str, ready: Callable[[], bool]) -> None:
        """Return when a process is ready.

        Raises:
            ServerError: One of them ended, or this one is not ready in time.
        """
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check()
            if ready():
                return
            time.sleep(0.3)
        raise ServerError(f"{name} did not answer within {START_SECONDS} s; {self.log(name)} may say why")

    def check(self) -> None:
        """Raise ``ServerError`` when one of the processes has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise ServerError(f"{name} stopped with exit code {process.returncode}; {self.log(name)} says why")


def free_port(wanted: int) -> int:
    """``wanted``, or any other free one where it is taken.

    It stays claimed until this process ends: a server listens on it some seconds from now, and another folder's
    ``make serve`` that asks in between must get a different one.

    Raises:
        ServerError: There is none.
    """
    for port in (wanted, *[0] * TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if _claim(found):
            return found
    raise ServerError(f"no free port on {HOST}; stop a server and run again")


def _claim(port: int) -> bool:
    """Whether no other process of this user holds ``port``; by a lock that goes with the process, however it ends."""
    folder = Path(tempfile.gettempdir()) / f"dconrec-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(folder / f"{port}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _claims.append(lock)
    return True
