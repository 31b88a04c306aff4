import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from flows.halt import halt
from flows.pages import pages
from flows.processes import MARK, carries, marked, stop_marked, tell
from flows.serve import serve
from flows.served import HOST, Served, answers, read_served, write_served
from flows.servers import ServerError, Site, free_port
from flows.status import schedule_in_words, served_lines

REGISTRATION = {"experiment_id": "1", "run_id": "abc", "model": "toy-condensed", "version": "3"}
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def a_site(mark, pid=0):
    return Served(mark, pid, "2026-01-01T00:00:00+00:00", f"http://{HOST}:1", f"http://{HOST}:2", "sqlite:///x", True)


@pytest.fixture
def start():
    """Start a Python process with a mark, and end it after the test."""
    started = []

    def start(code, mark):
        settings = os.environ | ({MARK: mark} if mark else {})
        started.append(subprocess.Popen([sys.executable, "-c", code], env=settings, stdout=subprocess.PIPE, text=True))
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


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
        assert answers(f"http://{HOST}:{port}")
    assert not answers(f"http://{HOST}:{port}")


def test_an_address_without_a_port_has_the_one_of_its_scheme(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda place, timeout: asked.append(place) or socket.socket())
    assert all(map(answers, ("http://a", "https://b", "https://c:8443/mlflow")))
    assert asked == [("a", 80), ("b", 443), ("c", 8443)]


def test_a_port_that_another_process_has_chosen_is_not_chosen_again_though_nothing_listens_there_yet():
    port = free_port(0)
    asks = f"from flows.servers import free_port; print(free_port({port}), flush=True); import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE, text=True)
    try:
        theirs = int(other.stdout.readline())
        assert theirs != port
        assert free_port(theirs) != theirs
    finally:
        other.kill()
        other.wait()
    assert free_port(theirs) == theirs  # it ended


def test_what_a_process_started_is_found_after_it_and_ended_though_it_ignores_the_signal(start):
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}])"
    start(orphan, "ours/worker").wait()
    assert len(marked("ours")) == len(marked("ours/worker")) == 1
    assert marked("our") == marked("ours/w") == set()
    assert stop_marked("ours", patience=0.3) == 1
    assert marked("ours") == set()


def test_a_stranger_who_got_the_process_id_is_left_alone(start, tmp_path):
    stranger = start(DEAF, None)
    tell([stranger.pid], "ours", signal.SIGKILL)
    write_served(tmp_path, a_site("ours", stranger.pid))
    assert halt(tmp_path) == "stopped"
    assert stranger.poll() is None
    assert not carries(stranger.pid, "ours")
    assert halt(tmp_path) == "nothing is served here"


def test_what_a_killed_serve_left_is_stopped(start, tmp_path):
    left = start("import time; print('up', flush=True); time.sleep(60)", "ours")
    write_served(tmp_path, a_site("ours", 2**22 - 1))
    assert halt(tmp_path) == "stopped what a killed `make serve` had left (processes: 1)"
    assert left.wait(timeout=10) == -signal.SIGTERM


def test_one_serve_a_folder(monkeypatch, tmp_path):
    from filelock import FileLock

    write_served(tmp_path, a_site("ours"))
    with FileLock(tmp_path / "serve.lock"), pytest.raises(ServerError, match=r"already served at .*make stop"):
        serve(tmp_path)
    assert read_served(tmp_path) == a_site("ours")


def test_the_end_of_one_process_is_noticed_and_its_log_named(tmp_path):
    site = Site(a_site("ours"), tmp_path)
    (tmp_path / "mlflow.log").write_text("the time before")
    site.start("MLflow", ["no_such_module"], os.environ)
    with pytest.raises(ServerError, match=r"MLflow stopped with exit code 1; .*mlflow\.log says why"):
        site.wait_until("MLflow", lambda: False)
    assert "no_such_module" in (tmp_path / "mlflow.log").read_text()
    assert (tmp_path / "mlflow.log.1").read_text() == "the time before"


def test_a_file_of_another_version_counts_as_none(tmp_path):
    (tmp_path / "served.json").write_text('{"mark": 1}')
    assert read_served(tmp_path) is None


@pytest.mark.parametrize(
    ("schedule", "active", "words"),
    [
        (CronSchedule(cron="0 3 * * *", timezone="Europe/Berlin"), True, "0 3 * * * Europe/Berlin"),
        (CronSchedule(cron="0 3 * * *"), False, "0 3 * * * UTC (paused)"),
        (RRuleSchedule(rrule="FREQ=DAILY;COUNT=9", timezone="Asia/Tokyo"), True, "FREQ=DAILY;COUNT=9 Asia/Tokyo"),
        (IntervalSchedule(interval=timedelta(minutes=5)), True, "every 5 min 0 s"),
    ],
)
def test_status_shows_a_schedule_with_its_time_zone(schedule, active, words):
    assert schedule_in_words(SimpleNamespace(schedule=schedule, active=active)) == words


def test_status_says_what_to_do(start):
    assert "make serve" in served_lines(None)
    assert "start it again" in served_lines(a_site("nobody"))
    start("import time; print('up', flush=True); time.sleep(60)", "ours")
    time.sleep(0.05)
    said = served_lines(a_site("ours"))
    assert "processes: 1" in said
    assert said.count("does not answer") == 2
