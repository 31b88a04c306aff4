"""``python -m flows.serve [--pages]``: Prefect, MLflow and the worker of this machine, until Ctrl-C.

``--pages`` leaves the worker out: the pages answer, and no run is started.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dconrec_core.errors import DConRecError
from flows.alone import alone
from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from flows.pages import pages, registration_of
from flows.processes import MARK, PATIENCE, stop_marked
from flows.served import (
    HOST,
    MLFLOW_PORT,
    PREFECT_PORT,
    Served,
    forget_served,
    home,
    read_served,
    responds,
    write_served,
)
from tasks.workspace import Workspace

START_SECONDS = 120
WORKER = "worker"
SQLITE = "sqlite:///"


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

    def start(self, name: str, command: list[str], settings: Mapping[str, str], part: str = "") -> None:
        """Start one process in a session of its own: Ctrl-C reaches this process alone, which then stops the others."""
        log = self.log(name)
        if log.is_file():
            log.replace(log.with_suffix(".log.1"))
        mark = f"{self.served.mark}/{part}" if part else self.served.mark
        with log.open("wb") as stream:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=os.environ | settings | {MARK: mark},
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


def serve(folder: Path, with_worker: bool = True) -> None:
    """Start everything, print the links, and stay until interrupted or until one of the processes ends.

    Args:
        folder: Prefect's, see ``flows.served.home``.
        with_worker: Whether runs are started.

    Raises:
        ServerError: Another one serves this folder, something does not start, or something ended.
    """
    with _alone(folder):
        if (before := read_served(folder)) and (count := stop_marked(before.mark)):
            print(f"stopped what a killed `make serve` had left (processes: {count})", flush=True)
        store = os.environ["MLFLOW_TRACKING_URI"]
        mlflow = store.rstrip("/") if _is_server(store) else f"http://{HOST}:{free_port(MLFLOW_PORT)}"
        prefect = f"http://{HOST}:{free_port(PREFECT_PORT)}"
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        served = Served(os.environ[MARK], os.getpid(), since, mlflow, prefect, with_worker)
        site = Site(served, folder / "logs")
        try:
            write_served(folder, served)
            _start_pages(site)
            if with_worker:
                _start_worker(site)
            for title, link in pages(served.mlflow, served.prefect, registration_of(Workspace())):
                print(f"{title:<18} {link}")
            print("Ctrl-C stops everything", flush=True)
            while True:
                site.check()
                time.sleep(0.5)
        finally:
            with _uninterrupted():
                _stop(site)
                forget_served(folder)


def _start_pages(site: Site) -> None:
    """MLflow and Prefect on the databases that the pipeline writes; an MLflow server elsewhere is used as it is."""
    print("starting MLflow and Prefect, some 20 seconds …", flush=True)
    store = os.environ["MLFLOW_TRACKING_URI"]
    with _first_mlflow(store), _first_prefect():
        if not _is_server(store):
            # As variables and no arguments, which everyone on this machine can read: an address may hold a password.
            settings = {
                "MLFLOW_BACKEND_STORE_URI": store,
                "MLFLOW_ARTIFACTS_DESTINATION": os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "mlflow/artifacts"),
            }
            site.start("MLflow", ["mlflow", "server", *_at(site.served.mlflow), "--workers", "1"], settings)
        site.start("Prefect", ["prefect", "server", "start", *_at(site.served.prefect)], {})
        site.wait_until("MLflow", lambda: responds(f"{site.served.mlflow}/health"))
        site.wait_until("Prefect", lambda: responds(f"{site.served.api}/health"))


def _at(address: str) -> list[str]:
    return ["--host", HOST, "--port", address.rpartition(":")[2]]


def _is_server(store: str) -> bool:
    return store.startswith(("http://", "https://"))


def _start_worker(site: Site) -> None:
    os.environ["PREFECT_API_URL"] = site.served.api  # before Prefect is imported
    from prefect.client.orchestration import get_client

    from flows import pool

    with get_client(sync_client=True) as client:
        pool.ensure_pool(client)
        if names := pool.requeue(client, pool.unfinished(client)):
            print(f"goes on with what was cut off: {', '.join(names)}", flush=True)
        if count := pool.drop_missed(client):
            print(f"left out what was due while nothing was served, but for the latest (starts: {count})", flush=True)
        command = ["prefect", "worker", "start", "--pool", pool.POOL, "--type", "process"]
        # DVC starts stages with whatever python3 comes first.
        settings = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        site.start(WORKER, [*command, "--name", pool.worker_name()], settings, part=WORKER)
        site.wait_until(WORKER, lambda: pool.worker_is_online(client))


def _stop(site: Site) -> None:
    """End the worker and its runs first, so that the server can still be told that they are to be resumed."""
    if WORKER in site.processes:
        _stop_worker(site)
    stop_marked(site.served.mark)
    for process in site.processes.values():
        process.wait(PATIENCE)


def _stop_worker(site: Site) -> None:
    from prefect.client.orchestration import get_client

    from flows import pool

    cut = []
    with suppress(Exception), get_client(sync_client=True) as client:  # the server itself may be what ended
        cut = pool.unfinished(client)
    stop_marked(f"{site.served.mark}/{WORKER}")
    if cut:
        with suppress(Exception), get_client(sync_client=True) as client:
            if names := pool.requeue(client, cut):
                print(f"cut off, goes on with the next `make serve`: {', '.join(names)}", flush=True)


def free_port(wanted: int) -> int:
    """``wanted``, or any other free one where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError(f"no free port on {HOST}; stop a server and run again")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "serve.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        served = read_served(folder)
        where = f"already served at {served.prefect} and {served.mlflow}" if served else "already being served"
        raise ServerError(f"{where}; `make status` shows it, `make stop` ends it") from None
    try:
        yield
    finally:
        lock.release()


def _first_mlflow(store: str) -> AbstractContextManager[Any]:
    """Nobody else makes MLflow's tables meanwhile: two at once spoil a fresh SQLite file (``tasks.tracking``)."""
    if not store.startswith(SQLITE):
        return nullcontext()
    place = Path(store.removeprefix(SQLITE)).resolve().parent
    place.mkdir(parents=True, exist_ok=True)
    return FileLock(place / ".init.lock")


def _first_prefect() -> AbstractContextManager[Any]:
    """Nobody else makes Prefect's tables meanwhile; once they are there, a pipeline may run as it likes."""
    own = "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in os.environ
    return alone() if own and not (home() / "prefect.db").exists() else nullcontext()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind; stopping takes seconds at most."""
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        yield


def main(arguments: list[str]) -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 when something does not come up or ends."""
    if MARK not in os.environ:  # this process carries the mark too, and only what it was started with can be seen
        os.execve(sys.executable, sys.orig_argv, os.environ | {MARK: uuid.uuid4().hex})
    os.chdir(ROOT)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also where a shell's `&` had SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments not in ([], ["--pages"]):
            raise ServerError(f"{' '.join(arguments)} is no option; give --pages or nothing")
        serve(home(), with_worker=not arguments)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
