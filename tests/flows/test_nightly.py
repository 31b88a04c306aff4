"""The flow ``nightly`` on a real Prefect server; pipeline and registry are stood in for."""

import threading
import time
from types import SimpleNamespace

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed

from dconrec_core.atomic import write_json
from tasks.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def night(monkeypatch, tmp_path, root):
    """Everything around the flow: what the pipeline was asked for, what was written to the version."""
    from flows import nightly as module
    from tasks import model_registry, tracking

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    asked, written = [], []

    @flow(name="stand-in", persist_result=False)
    def pipeline(changes):
        asked.append(changes)
        decision = "waiting" if changes["registration.approval"] else "promoted"
        gate = [{"rule": "min_quality", "passed": True, "reason": "bprmf 93%"}]
        registration = {"version": "7", "model": "toy", "decision": decision, "gate": gate}
        write_json(Workspace().registration, registration)
        return Completed(message="did all")

    def registry(tracker, name):
        return SimpleNamespace(
            by_alias=lambda alias: SimpleNamespace(version="7"),
            promote=lambda *words: written.append(("promote", *words)),
            decline=lambda *words: written.append(("decline", *words)),
        )

    monkeypatch.setattr(module, "pipeline", pipeline)
    monkeypatch.setattr(module, "POLL", 1)
    monkeypatch.setattr(model_registry, "Registry", registry)
    monkeypatch.setattr(tracking.Tracker, "open", lambda *place: None)
    return SimpleNamespace(module=module, asked=asked, written=written)


def answer(**words):
    """Resume the paused flow run through the API, as the UI does."""

    def wait_and_resume():
        with get_client(sync_client=True) as client:
            for _ in range(300):
                runs = [run for run in client.read_flow_runs() if run.state and run.state.is_paused()]
                if runs:
                    client.resume_flow_run(runs[0].id, run_input=words)
                    return
                time.sleep(0.2)

    thread = threading.Thread(target=wait_and_resume)
    thread.start()
    return thread


@pytest.mark.parametrize(("promote", "act"), [(True, "promote"), (False, "decline")])
def test_a_person_decides(night, promote, act):
    thread = answer(promote=promote, reason="I looked")
    state = night.module.nightly(approve=True, return_state=True)
    thread.join()
    assert state.is_completed(), state.message
    assert state.message == f"version 7 {act}d by a person"
    assert night.written == [(act, "7", "I looked", "a person")]
    assert night.asked == [{"registration.approval": True}]


def test_nobody_answers(night, monkeypatch):
    monkeypatch.setattr(night.module, "PATIENCE", 2)
    state = night.module.nightly(approve=True, return_state=True)
    assert not state.is_completed()  # Prefect lets no run complete whose pause ran out
    assert night.written == [("decline", "7", "nobody answered in time", "gate")]


def test_without_approval_the_gate_alone_decides(night):
    state = night.module.nightly(return_state=True)
    assert state.message == "did all; version 7 promoted"
    assert night.written == []


def test_an_increment_needs_a_split_that_stays(night):
    state = night.module.nightly(increment="new.csv", return_state=True)
    assert state.name == "Stopped"
    assert "set split.strategy: temporal" in state.message
    assert night.asked == []


def test_a_failed_check_stops_before_the_pipeline(night):
    changes = {"split.strategy": "temporal"}
    state = night.module.nightly(increment="new.csv", changes=changes, return_state=True)
    assert state.name == "Stopped"
    assert night.asked == []


def test_a_file_that_ingest_would_not_notice_is_not_appended_to(night, tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,item_id\n1,2\n")
    changes = {"split.strategy": "temporal", "dataset": {"name": "file", "config": {"path": "ratings.csv"}}}
    state = night.module.nightly(increment="new.csv", changes=changes, return_state=True)
    assert state.name == "Stopped"
    assert "move it and set dataset.config.path: data/input/ratings.csv" in state.message
    assert (tmp_path / "ratings.csv").read_text() == "user_id,item_id\n1,2\n"
    assert night.asked == []
