import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from flows.ui import HOST, free_port, pages
from tests.flows.project import ROOT, environment

REGISTRATION = {"experiment_id": "1", "run_id": "abc", "model": "toy-condensed", "version": "3"}


def test_links_lead_to_the_runs_and_not_to_the_page_for_language_models():
    links = dict(pages("http://m", "http://p", REGISTRATION))
    assert links["runs to compare"] == "http://m/#/experiments/1/runs?workflowType=machine_learning"
    assert links["registered set"] == "http://m/#/models/toy-condensed/versions/3"
    assert links["Prefect flow runs"] == "http://p/runs"
    assert dict(pages("http://m", "http://p", {}))["MLflow"] == "http://m"


def test_a_taken_port_is_given_up_for_a_free_one():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (port, 0)


@pytest.mark.slow
def test_both_pages_answer_and_both_servers_stop_together(tmp_path):
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/registration.json").write_text(json.dumps(REGISTRATION))
    (tmp_path / "mlflow").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.ui"],
        cwd=tmp_path,
        env=environment() | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        links = [line.split()[-1] for line in lines if "http://" in line]
        assert len(links) == 4, "".join(lines)
        servers = {link.split("/")[2] for link in links}
        assert len(servers) == 2
        for server in servers:
            with urllib.request.urlopen(f"http://{server}/", timeout=30) as answer:
                assert answer.status == 200
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
    time.sleep(0.5)
    for server in servers:
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"http://{server}/", timeout=5)
