"""`make serve` or `make work` in a folder for as long as a test needs it; at its end nothing of it may be left."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.processes import marked
from flows.served import Served, answers, read_served
from tests.flows.project import environment

PATIENCE = 180  # seconds; a loaded machine is slow


@contextmanager
def serving(folder: Path, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[tuple[Served, str]]:
    """What `flows.serve` serves and said, until the block ends with Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.serve", *options],
        cwd=folder,
        env=environment() | dict(settings or {}) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    served = None
    try:
        said = ""
        for line in process.stdout or ():
            said += line
            if line.startswith("Ctrl-C"):
                break
        served = read_served(folder / ".prefect")
        assert served, said
        yield served, said
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
        try:
            code = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            for left in {process.pid, *(marked(served.mark) if served else ())}:
                os.kill(left, signal.SIGKILL)
            raise
    assert code == 0
    assert marked(served.mark) == set()
    if "--worker" not in options:  # which talks to servers of others
        assert not answers(served.prefect)
        assert not answers(served.mlflow)
    assert read_served(folder / ".prefect") is None


def ask(address: str, content: dict[str, Any] | None = None) -> Any:
    """The JSON that a server answers to a GET, or to a POST of ``content``."""
    sent = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
