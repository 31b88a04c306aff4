"""The flow ``nightly`` on a real Prefect server; pipeline and registry are stood in for."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_engine import run_flow
from prefect.states import Completed

from dconrec_core.atomic import write_json
from flows.params import read_params, write_changes
from flows.pool import requeue
from tasks.workspace import Workspace
from tests.flows.project import commit, dvc, git

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def night(monkeypatch, tmp_path, root):
    """Everything around the flow: what the pipeline was asked for, what was written to the version."""
    from flows import nightly as module
    from tasks import model_registry, tracking

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    asked, written, waiting = [], [], ["7"]

    @flow(name="stand-in", persist_result=False)
    def pipeline(changes):
        asked.append(changes)
        write_changes(tmp_path, changes or {})
        decision = "waiting" if read_params(tmp_path).registration.approval else "promoted"
        gate = [{"rule": "min_quality", "passed": True, "reason": "bprmf 93%"}]
        registration = {"experiment": "toy", "version": "7", "model": "toy", "decision": decision, "gate": gate}
        write_json(Workspace().registration, registration)
        return Completed(message="did all")

    def registry(tracker, name):
        return SimpleNamespace(
            is_waiting=lambda version: waiting[-1] == version,
            champion=lambda: None,
            promote=lambda *words: (written.append(("promote", *words)), waiting.append(None)),
            decline=lambda *words: (written.append(("decline", *words)), waiting.append(None)),
            verdict=lambda version: f"{written[-1][0]}d since" if written else "champion",
        )

    monkeypatch.setattr(module, "pipeline", pipeline)
    monkeypatch.setattr(module, "POLL", 1)
    monkeypatch.setattr(model_registry, "Registry", registry)
    monkeypatch.setattr(tracking.Tracker, "open", lambda *place: None)
    return SimpleNamespace(module=module, asked=asked, written=written, waiting=waiting)


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
def test_a_person_decides(night, capsys, promote, act):
    thread = answer(promote=promote, reason="I looked")
    state = night.module.nightly(approve=True, return_state=True)
    thread.join()
    assert state.is_completed(), state.message
    assert state.message == f"version 7 {act}d by a person"
    assert night.written == [(act, "7", "I looked", "a person")]
    assert night.asked == [{"registration.approval": True}]
    assert "version 7 waits for you (24 h): make ui, then Resume '" in capsys.readouterr().err


def test_a_run_that_was_cut_off_while_it_waited_asks_again(night, monkeypatch):
    asks = night.module.pause_flow_run

    def cut_off(**settings):
        with pytest.raises(FlowPauseTimeout):  # nobody has answered when the process ends
            asks(**{**settings, "timeout": 1})
        raise SystemExit

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night.module.nightly)
        monkeypatch.setattr(night.module, "pause_flow_run", cut_off)
        with pytest.raises(SystemExit):
            run_flow(night.module.nightly, flow_run=run, parameters={"approve": True})
        monkeypatch.setattr(night.module, "pause_flow_run", asks)
        assert requeue(client, [client.read_flow_run(run.id)]) == [run.name]
        thread = answer(promote=True, reason="I looked")
        run = client.read_flow_run(run.id)
        state = run_flow(night.module.nightly, flow_run=run, parameters={"approve": True}, return_type="state")
        thread.join()
    assert state.message == "version 7 promoted by a person"
    assert night.written == [("promote", "7", "I looked", "a person")]


@pytest.mark.parametrize(("failures", "end"), [(2, "version 7 promoted by a person"), (3, "decide: no answer")])
def test_an_answer_outlasts_a_tracker_that_is_away(night, monkeypatch, failures, end):
    from tasks import model_registry

    tries, registry = [], model_registry.Registry

    def away(*place):
        tries.append(place)
        if 1 < len(tries) <= 1 + failures:  # it answered when the person was asked
            raise ConnectionError("no answer")
        return registry(*place)

    monkeypatch.setattr(model_registry, "Registry", away)
    monkeypatch.setattr(night.module, "decide", night.module.decide.with_options(retry_delay_seconds=0))
    thread = answer(promote=True, reason="I looked")
    state = night.module.nightly(approve=True, return_state=True)
    thread.join()
    assert (state.name, state.message) == ("Completed" if failures == 2 else "Stopped", end)
    assert night.written == ([("promote", "7", "I looked", "a person")] if failures == 2 else [])


def test_an_answer_to_an_old_question_changes_nothing(night, monkeypatch):
    """Another run registered version 8 while somebody read the report of version 7."""
    from flows import nightly as module

    def pause(**settings):
        night.waiting.append("8")
        return module.Approval(promote=True, reason="I looked at 7")

    monkeypatch.setattr(module, "pause_flow_run", pause)
    state = night.module.nightly(approve=True, return_state=True)
    assert state.message == "version 7 no longer waits for an answer; the champion stays"
    assert night.written == []


def test_the_files_own_word_on_approval_stands_where_nothing_else_is_said(night, tmp_path):
    """The schedule runs without ``approve``: it must not switch off what params.yaml asks for."""
    write_changes(tmp_path, {"registration.approval": True})
    thread = answer(promote=True, reason="I looked")
    state = night.module.nightly(return_state=True)
    thread.join()
    assert state.message == "version 7 promoted by a person"
    assert night.asked == [None]
    again = night.module.nightly(return_state=True)  # the file of the registration says as before that it waits
    assert again.message == "did all; version 7: promoted since"
    night.module.nightly(approve=False, return_state=True)
    assert not read_params(tmp_path).registration.approval


def test_nobody_answers(night, monkeypatch):
    monkeypatch.setattr(night.module, "PATIENCE", 2)
    state = night.module.nightly(approve=True, return_state=True)
    assert not state.is_completed()  # Prefect lets no run complete whose pause ran out
    assert night.written == [("decline", "7", "nobody answered in time", "gate")]


def test_without_approval_the_gate_alone_decides(night):
    state = night.module.nightly(return_state=True)
    assert state.message == "did all; version 7: champion"
    assert night.written == []


def test_an_increment_needs_a_split_that_stays(night):
    state = night.module.nightly(increment="new.csv", return_state=True)
    assert state.name == "Stopped"
    assert "set split.strategy: temporal" in state.message
    assert night.asked == []


def test_an_increment_is_refused_where_the_given_split_has_no_valid_part_of_its_own(night, tmp_path):
    (tmp_path / "data/split").mkdir(parents=True)
    (tmp_path / "data/split/split.json").write_text('{"strategy": "given", "valid_drawn": true}')
    state = night.module.nightly(increment="new.csv", changes={"split.strategy": "given"}, return_state=True)
    assert state.name == "Stopped"
    assert "split.strategy is given, whose valid part an increment deals anew" in state.message
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


@pytest.fixture
def own_file(night, tmp_path, root, monkeypatch):
    """A project with a file of the user's own under DVC, which has a remote; what a night with it sets."""
    home = tmp_path / "home"
    (home / "data/input").mkdir(parents=True)
    for name in (".gitignore", "params.yaml"):
        (home / name).write_text((root / name).read_text())
    rows = [f"{user},{(user + step) % 40}\n" for user in range(40) for step in range(10)]
    (home / "data/input/ratings.csv").write_text("".join(["user_id,item_id\n", *rows]))
    git(home, "init", "--quiet")
    dvc(home, "init", "--quiet")
    dvc(home, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    dvc(home, "add", "data/input/ratings.csv")
    commit(home, "start")
    monkeypatch.chdir(home)
    file = {"name": "file", "config": {"path": "data/input/ratings.csv"}}
    return {"split.strategy": "temporal", "dataset": file, "refresh": {"warm": False}}


@pytest.fixture
def tuesday(own_file, tmp_path):
    """An increment for that file."""
    file = tmp_path / "tuesday.csv"
    file.write_text("user_id,item_id\n" + "".join(f"{user},{(user + 20) % 40}\n" for user in range(40)))
    return str(file)


def test_a_clone_that_pulled_an_increment_does_not_append_it_again(night, own_file, tuesday, tmp_path, monkeypatch):
    ratings = Path("data/input/ratings.csv")
    before = ratings.read_text()
    state = night.module.nightly(increment=tuesday, changes=own_file, return_state=True)
    assert state.is_completed(), state.message
    grown = ratings.read_text()
    assert grown.splitlines() == [*before.splitlines(), *Path(tuesday).read_text().splitlines()[1:]]
    assert "?? data/input/ratings.csv.increments.json" in git(Path(), "status", "--porcelain").splitlines()
    commit(Path(), "tuesday")
    dvc(Path(), "push")
    git(tmp_path, "clone", "--quiet", "home", "clone")
    monkeypatch.chdir(tmp_path / "clone")
    dvc(Path(), "pull")
    assert ratings.read_text() == grown
    state = night.module.nightly(increment=tuesday, changes=own_file, return_state=True)
    assert state.is_completed(), state.message
    assert ratings.read_text() == grown
    git(tmp_path / "home", "checkout", "--quiet", "HEAD~1")
    dvc(tmp_path / "home", "checkout")
    assert (tmp_path / "home" / ratings).read_text() == before


def test_what_a_kill_cut_off_is_put_right_before_an_increment_is_appended(night, own_file, tuesday):
    Path("dvc.yaml").write_text("stages: {ingest: {cmd: 'true', deps: [data/input/ratings.csv]}}\n")
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  ing")
    state = night.module.nightly(increment=tuesday, changes=own_file, return_state=True)
    assert state.is_completed(), state.message
    assert not Path("dvc.lock").exists()


def test_a_wrong_name_is_refused_before_an_increment_is_appended(night, own_file, tuesday):
    before = Path("data/input/ratings.csv").read_bytes()
    changes = own_file | {"condense.name": "atuo"}
    state = night.module.nightly(increment=tuesday, changes=changes, return_state=True)
    assert state.name == "Stopped"
    assert "did you mean 'auto'?" in state.message
    assert Path("data/input/ratings.csv").read_bytes() == before


def test_an_increment_is_looked_for_where_the_command_was_typed(tmp_path, monkeypatch):
    from flows import nightly

    monkeypatch.chdir(tmp_path)
    assert nightly._as_typed("new.csv") == str(tmp_path / "new.csv")
    monkeypatch.chdir(nightly.ROOT / "docs")
    assert nightly._as_typed("../data/input/new.csv") == "data/input/new.csv"
