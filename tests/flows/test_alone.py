"""One pipeline at a time: who comes second is told who was first, and who is gone holds nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dconrec_core.errors import ConfigError
from flows.alone import alone
from tests.flows.project import environment

HOLD = "from flows.alone import alone\nwith alone():\n    print('in', flush=True)\n    import time; time.sleep(60)"


@pytest.fixture
def holder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment() | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_who_is_there_and_a_kill_frees_the_folder(holder: subprocess.Popen[str]):
    with pytest.raises(ConfigError, match=rf"another pipeline \(process {holder.pid} since .* works in this folder"):
        alone().__enter__()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with alone(), alone():  # again in the same process: a command, and the flow that it runs
        pass
