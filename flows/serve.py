"""``python -m flows.serve [--pages | --worker]``: Prefect, MLflow and the worker of this checkout, until Ctrl-C.

``--pages`` leaves the worker out: the pages answer, and no run is started. ``--worker`` starts it alone, for the pool
that another checkout serves.
"""

import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.alone import starting_prefect
from flows.backends import MLFLOW_DATABASE
from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from flows.frame import parser_of
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
from flows.servers import ServerError, Site, free_port
from flows.worker import WORKER, start_worker, stop_worker
from tasks.tracking_store import SQLITE, is_server, store_uri
from tasks.workspace import Workspace


class Parts(StrEnum):
    """What is started, as the command line says it."""

    ALL = ""
    PAGES = "--pages"
    WORKER = "--worker"


def serve(folder: Path, parts: Parts = Parts.ALL) -> None:
    """Start everything, print the links, and stay until interrupted or until one of the processes ends.

    Args:
        folder: Prefect's, see ``flows.served.home``.
        parts: What to start.

    Raises:
        ServerError: Another one serves this folder, something does not start, or something ended.
    """
    with _alone(folder):
        if (before := read_served(folder)) and (count := stop_marked(before.mark)):
            print(f"stopped what a killed `make serve` had left (processes: {count})", flush=True)
        store = _store(parts)
        served = _elsewhere(store) if parts is Parts.WORKER else _here(store, parts is Parts.ALL)
        site = Site(served, folder / "logs")
        try:
            write_served(folder, served)
            if parts is not Parts.WORKER:
                _start_pages(site, store)
            if parts is not Parts.PAGES:
                start_worker(site, at_home=parts is Parts.ALL)
            for title, link in pages(served.mlflow, served.prefect, registration_of(Workspace())):
                print(f"{title:<18} {link}")
            print("Ctrl-C stops everything", flush=True)
            while True:
                site.check()
                time.sleep(0.5)
        finally:
            with _uninterrupted():
                _stop(site, at_home=parts is Parts.ALL)
                forget_served(folder)


def _store(parts: Parts) -> str:
    """What MLflow keeps its runs in: a database, or a server elsewhere that is used as it is."""
    database = os.environ.get(MLFLOW_DATABASE)
    return database if database and parts is not Parts.WORKER else store_uri(Path("mlflow"))


def _here(store: str, with_worker: bool) -> Served:
    mlflow = store.rstrip("/") if is_server(store) else f"http://{HOST}:{free_port(MLFLOW_PORT)}"
    tracking = store if store.startswith(SQLITE) else mlflow
    return _served(mlflow, f"http://{HOST}:{free_port(PREFECT_PORT)}", tracking, with_worker)


def _elsewhere(store: str) -> Served:
    """The servers that a worker alone talks to.

    Raises:
        ServerError: It is not said which, or Prefect does not answer there.
    """
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not (api.endswith("/api") and is_server(store)):
        raise ServerError(
            "a worker alone needs the servers of another checkout: set PREFECT_API_URL (ends in /api) and "
            "MLFLOW_TRACKING_URI to their addresses"
        )
    if not responds(f"{api}/health"):
        raise ServerError(f"Prefect does not answer at {api}; run make serve there, or check PREFECT_API_URL")
    return _served(store.rstrip("/"), api.removesuffix("/api"), store, with_worker=True)


def _served(mlflow: str, prefect: str, tracking: str, with_worker: bool) -> Served:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return Served(os.environ[MARK], os.getpid(), since, mlflow, prefect, tracking, with_worker)


def _start_pages(site: Site, store: str) -> None:
    """MLflow and Prefect on the databases that the pipeline writes; an MLflow server elsewhere is used as it is."""
    print("starting MLflow and Prefect, some 20 seconds …", flush=True)
    with _first_mlflow(store), starting_prefect():
        if not is_server(store):
            settings = {
                MLFLOW_DATABASE: store,
                "MLFLOW_ARTIFACTS_DESTINATION": os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "mlflow/artifacts"),
            }
            site.start(
                "MLflow", ["mlflow", "server", *_at(site.served.mlflow), "--workers", "1"], os.environ | settings
            )
        page = {"PREFECT_SERVER_UI_API_URL": site.served.api}  # else its page asks port 4200, wherever it is
        site.start("Prefect", ["prefect", "server", "start", *_at(site.served.prefect)], page | os.environ)
        site.wait_until("MLflow", lambda: responds(f"{site.served.mlflow}/health"))
        site.wait_until("Prefect", lambda: responds(f"{site.served.api}/health"))


def _at(address: str) -> list[str]:
    return ["--host", HOST, "--port", address.rpartition(":")[2]]


def _stop(site: Site, at_home: bool) -> None:
    """End the worker and its runs first, so that the server can still be told that they are to be resumed."""
    if WORKER in site.processes:
        stop_worker(site, at_home)
    stop_marked(site.served.mark)
    for process in site.processes.values():
        process.wait(PATIENCE)


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


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind; stopping takes seconds at most."""
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        yield


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 when something does not come up or ends."""
    parser = parser_of("flows.serve", __doc__)
    one = parser.add_mutually_exclusive_group()
    for parts in (Parts.PAGES, Parts.WORKER):
        one.add_argument(parts, action="store_const", dest="parts", const=parts, default=Parts.ALL)
    asked = parser.parse_args(arguments)
    if MARK not in os.environ:  # this process carries the mark too, and only what it was started with can be seen
        os.execve(sys.executable, sys.orig_argv, os.environ | {MARK: uuid.uuid4().hex})
    os.chdir(ROOT)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also where a shell's `&` had SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        serve(home(), asked.parts)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
