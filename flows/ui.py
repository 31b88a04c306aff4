"""``python -m flows.ui``: MLflow's and Prefect's pages on this machine, until Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dconrec_core.errors import DConRecError
from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from tasks.workspace import Workspace

HOST = "127.0.0.1"
MLFLOW_PORT, PREFECT_PORT = 5055, 4200
START_SECONDS = 120


class ServerError(DConRecError):
    """A page could not be served."""


def servers(mlflow_port: int, prefect_port: int) -> dict[str, list[str]]:
    """The two commands, on the same databases that the pipeline writes."""
    mlflow = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]]
    mlflow += [
        "--artifacts-destination",
        "mlflow/artifacts",
        "--host",
        HOST,
        "--port",
        str(mlflow_port),
        "--workers",
        "1",
    ]
    prefect = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)]
    return {"MLflow": mlflow, "Prefect": prefect}


def pages(mlflow: str, prefect: str, registration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to open, most useful first; MLflow's bare address would land on its page for language models."""
    if not registration:
        return [("MLflow", mlflow), ("Prefect flow runs", f"{prefect}/runs")]
    experiment = f"{mlflow}/#/experiments/{registration['experiment_id']}"
    version = f"{mlflow}/#/models/{registration['model']}/versions/{registration['version']}"
    return [
        ("runs to compare", f"{experiment}/runs?workflowType=machine_learning"),
        ("last run", f"{experiment}/runs/{registration['run_id']}"),
        ("registered set", version),
        ("Prefect flow runs", f"{prefect}/runs"),
    ]


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


def wait_until_up(name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when ``url`` answers.

    Raises:
        ServerError: The process ended, or does not answer in time.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(f"{name} stopped with exit code {process.returncode}; {log} says why")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise ServerError(f"{name} did not answer at {url} within {START_SECONDS} s; {log} may say why")


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the servers and what they started."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def serve(mlflow_port: int, prefect_port: int, logs: Path) -> None:
    """Start both, print the links, and stay until interrupted."""
    urls = {"MLflow": f"http://{HOST}:{mlflow_port}", "Prefect": f"http://{HOST}:{prefect_port}"}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    logs.mkdir(parents=True, exist_ok=True)
    try:
        for name, command in servers(mlflow_port, prefect_port).items():
            with (logs / f"{name.lower()}.log").open("wb") as log:
                # A session of its own: Ctrl-C reaches this process alone, which then stops each whole group.
                processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        print("starting MLflow and Prefect, some 20 seconds …", flush=True)
        for name, path in (("MLflow", "/health"), ("Prefect", "/api/health")):
            wait_until_up(name, processes[name], urls[name] + path, logs / f"{name.lower()}.log")
        for title, link in pages(urls["MLflow"], urls["Prefect"], _registration(Workspace())):
            print(f"{title:<18} {link}")
        print("Ctrl-C stops both", flush=True)
        while all(process.poll() is None for process in processes.values()):
            time.sleep(0.5)
        ended = next(name for name, process in processes.items() if process.poll() is not None)
        raise ServerError(f"{ended} stopped; {logs / f'{ended.lower()}.log'} says why")
    finally:
        stop(list(processes.values()))


def _registration(files: Workspace) -> dict[str, Any]:
    if not files.registration.is_file():
        return {}
    content: dict[str, Any] = json.loads(files.registration.read_text(encoding="utf-8"))
    return content


def main() -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 when a server does not come up or stops."""
    os.chdir(ROOT)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell's `&` had SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        serve(free_port(MLFLOW_PORT), free_port(PREFECT_PORT), Path(os.environ["PREFECT_HOME"]) / "logs")
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
