"""Servers that go away in mid-run and come back: MLflow's and Prefect's, on loopback, with databases of their own."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fault_kills import one_try, row
from benchmarks.fault_project import Bench, Life, finish
from benchmarks.results import Row
from flows.served import HOST
from flows.servers import free_port

UP_SECONDS, AWAY_SECONDS = 120, 5
SCHEDULE_SECONDS = 30
SERVE = """
import flows
from datetime import timedelta
from flows.pipeline import pipeline
pipeline.serve(name="nightly", interval=timedelta(seconds={seconds}), limit=1)
"""


class Server:
    """One server process that can be stopped and started again.

    Args:
        command: What to run.
        url: What answers once it is up.
        life: Whose environment it has.
        settings: Further variables.
    """

    def __init__(self, command: Sequence[str], url: str, life: Life, **settings: str) -> None:
        self.command, self.url, self.life, self.settings = command, url, life, settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = self.life.variables(**self.settings, FAULT_MARK="server")  # no run left it
        self.process = subprocess.Popen(
            self.command, cwd=self.life.root, env=settings, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + UP_SECONDS
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(self.url, timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"{self.command} did not answer at {self.url}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and what it started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server for the block."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


def mlflow_server(life: Life) -> Server:
    """MLflow's own, with its database and artifacts in the project's folder ``server``."""
    place = life.root.parent / "server"
    place.mkdir(exist_ok=True)
    shutil.copy(life.bench.folder / "store.db", place / "mlflow.db")
    life.store = "../server/mlflow.db"
    port = free_port(0)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{place / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(place / "artifacts"), "--host", HOST, "--port", str(port)]
    return Server(
        [*command, "--workers", "1"], f"http://{HOST}:{port}/health", life, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
    )


def prefect_server(life: Life, home: Path) -> Server:
    """Prefect's own, with its database in ``home``."""
    port = free_port(0)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port), "--no-ui"]
    url = f"http://{HOST}:{port}/api/health"
    return Server(
        command, url, life, PREFECT_HOME=str(home), PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="true"
    )


def api(server: Server) -> str:
    """What ``PREFECT_API_URL`` must say."""
    return server.url.removesuffix("/health")


def mlflow_away(bench: Bench, driver: str, runs: int, number: int, *, back: bool) -> Row:
    """MLflow's server ends once it knows ``runs`` runs, and comes back while the driver waits, or after it gave up."""
    bench.fresh().remove()  # makes the store
    life = bench.finished()
    (life.root / "results/registration.json").unlink()
    server, faults = mlflow_server(life), []
    with running(server):
        settings = {"MLFLOW_TRACKING_URI": server.url.removesuffix("/health")}
        retries = {} if back else {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        command = (
            [sys.executable, "-m", "dvc", "repro"]
            if driver == "dvc"
            else [sys.executable, "-m", "flows.stage", "register"]
        )
        process = life.start(command, **settings, **retries)
        came = _until(lambda: _count(life.root / life.store, "runs") >= runs, process)
        server.stop(number)
        if back:
            time.sleep(AWAY_SECONDS)
            server.start()
        done = finish(process)
        if back and done.status:
            faults.append(f"it did not wait: {done.last}")
        if not back:
            faults += [] if done.one_line or not came else [f"not one line: {done.last}"]
            server.start()
        done = life.run("dvc", **settings)
        if done.status:
            faults.append(f"the restart ended with {done.status}: {done.last}")
        faults += life.end_faults()
    if not faults:
        life.remove()
    return one_try(came, faults)


def prefect_away(bench: Bench, stage: str, number: int) -> Row:
    """Prefect's server ends when ``stage`` has begun, and comes back; the flow goes on to its end."""
    life, faults = bench.fresh(), []
    server = prefect_server(life, life.root.parent / "prefect")
    with running(server):
        process = life.start([sys.executable, "-m", "flows.pipeline"], PREFECT_API_URL=api(server))
        came = _until((life.root / stage).exists, process)
        server.stop(number)
        time.sleep(AWAY_SECONDS)
        server.start()
        done = finish(process)
        if done.status:
            faults.append(f"the flow ended with {done.status}: {done.last}")
        states = _states(life.root.parent / "prefect/prefect.db", "flow_run")
        if states != ["Completed"]:
            faults.append(f"Prefect remembers {states}")
        if done.status:
            life.must("flow", PREFECT_API_URL=api(server))
        faults += life.end_faults()
    if not faults:
        life.remove()
    return one_try(came, faults)


def schedules(bench: Bench) -> Row:
    """A pipeline on a schedule; the server is killed between two runs, and comes back: later runs come to their end."""
    life, faults = bench.finished(), []
    home = life.root.parent / "prefect"
    server = prefect_server(life, home)
    with running(server):
        code = SERVE.format(seconds=SCHEDULE_SECONDS)
        with (life.root.parent / "serve.log").open("w") as log:
            serving = subprocess.Popen(
                [sys.executable, "-c", code], cwd=life.root, env=life.variables(PREFECT_API_URL=api(server)),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            if not _until(lambda: "Completed" in _states(home / "prefect.db", "flow_run")):
                faults.append("no scheduled run came to its end before the server went away")
            server.stop(signal.SIGKILL)
            time.sleep(AWAY_SECONDS)
            server.start()
            before = _states(home / "prefect.db", "flow_run").count("Completed")
            if not _until(lambda: _states(home / "prefect.db", "flow_run").count("Completed") > before):
                faults.append("no scheduled run came to its end after the server was back")
        finally:
            os.killpg(serving.pid, signal.SIGKILL)  # asked kindly, it waits for the run that it has just begun
            serving.wait()
    life.end_strays()
    if not faults:
        life.remove()
    return row(1, int(not faults), faults)


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 240) -> bool:
    """Whether it comes true in time, and while ``process`` runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (process is None or process.poll() is None):
        if holds():
            return True
        time.sleep(0.05)
    return False


def _count(database: Path, table: str) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def _states(database: Path, table: str) -> list[str]:
    """States of runs that are not just planned."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
            found = connection.execute(f"SELECT state_name FROM {table} WHERE state_type != 'SCHEDULED'").fetchall()
    except sqlite3.Error:
        return []
    return [state for (state,) in found]
