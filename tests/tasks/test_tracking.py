import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tasks.tracking import DataInput, Tracker, TrackingError, metric_name, told

pytestmark = pytest.mark.slow  # a fresh database takes seconds


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    home = tmp_path_factory.mktemp("tracker") / "mlflow"
    mlflow.set_tracking_uri(None)  # what another module of this process may have left
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Tracker.open("trial", home)
        patch.undo()


def test_artifacts_lie_beside_the_database(tracker):
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    database = Path(tracker.uri.removeprefix("sqlite:///"))
    assert database.is_file()
    assert experiment.artifact_location == (database.parent / "artifacts").as_uri()


def test_artifacts_lie_beside_a_database_that_lies_elsewhere(tracker, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    other = Tracker.open("from a temporary copy", tmp_path / "copy/mlflow")
    location = tracker.client.get_experiment(other.experiment_id).artifact_location
    assert location == tracker.client.get_experiment(tracker.experiment_id).artifact_location
    assert not (tmp_path / "copy").exists()


def test_a_copied_project_leaves_the_original_alone(tracker, tmp_path, monkeypatch):
    (tmp_path / "note.txt").write_text("x")
    with tracker.run("before") as run:
        run.artifacts(tmp_path / "note.txt")
        model = tracker.client.create_logged_model(tracker.experiment_id, source_run_id=run.id)
    tracker.client.create_registered_model("copied")
    tracker.client.create_model_version("copied", f"models:/{model.model_id}", run.id)
    original = Path(tracker.uri.removeprefix("sqlite:///")).parent
    copy = Path(shutil.copytree(original, tmp_path / "a copy/mlflow"))
    shutil.move(original / "artifacts", tmp_path / "away")  # whoever still looks there finds nothing
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy / 'mlflow.db'}")
    other = Tracker.open("trial", copy)
    assert other.experiment_id == tracker.experiment_id
    for name in ("before", "after"):
        with other.run(name) as after:
            after.artifacts(tmp_path / "note.txt")
    assert not (original / "artifacts").exists()
    shutil.move(tmp_path / "away", original / "artifacts")
    assert len(list((copy / "artifacts").glob("*/artifacts/note.txt"))) == 3
    assert [file.path for file in other.client.list_artifacts(run.id)] == ["note.txt"]
    for client, home in ((other.client, copy), (tracker.client, original)):
        place = (home / "artifacts").as_uri()
        assert client.get_experiment(tracker.experiment_id).artifact_location == place
        assert client.get_run(run.id).info.artifact_uri.startswith(f"{place}/")
        assert client.get_model_version_download_uri("copied", "1").startswith(f"{place}/")


def test_a_place_of_another_name_is_left_as_it_is(tracker, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    by_hand = tracker.client.create_experiment("by hand", artifact_location="s3://bucket/artifacts")
    Tracker.open("by hand", tmp_path)
    assert tracker.client.get_experiment(by_hand).artifact_location == "s3://bucket/artifacts"


def test_an_experiment_is_made_once_and_found_again(tracker, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    home = Path(tracker.uri.removeprefix("sqlite:///")).parent
    assert Tracker.open("trial", home).experiment_id == tracker.experiment_id
    tracker.client.delete_experiment(tracker.experiment_id)
    assert Tracker.open("trial", home).experiment_id == tracker.experiment_id
    assert tracker.client.get_experiment(tracker.experiment_id).lifecycle_stage == "active"


def test_metrics_wait_and_are_sent_together_with_names_mlflow_takes(tracker):
    table = pd.DataFrame({"epoch": range(1, 1201), "valid_ndcg@10": 0.25, "loss": [None, *[1.0] * 1199], "who": "x"})
    with tracker.run("curves") as run:
        run.curve(table, step="epoch")
        run.metrics({"recall@20": 0.5, "nothing": None, "text": "no"})
        assert tracker.client.get_run(run.id).data.metrics == {}
    found = tracker.client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"valid_ndcg_at_10": 0.25, "loss": 1.0, "recall_at_20": 0.5}
    assert len(tracker.client.get_metric_history(run.id, "valid_ndcg_at_10")) == 1200
    assert [point.step for point in tracker.client.get_metric_history(run.id, "loss")][:2] == [2, 3]


def test_a_run_that_raises_is_marked_as_failed_and_nested_runs_know_their_parent(tracker):
    ids = {}

    def fail():
        with tracker.run("parent") as parent, tracker.run("child", parent=parent) as child:
            ids.update(parent=parent.id, child=child.id)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    child = tracker.client.get_run(ids["child"])
    assert child.info.status == "FAILED"
    assert child.data.tags["mlflow.parentRunId"] == ids["parent"]


def test_what_a_kill_left_running_is_ended_when_something_else_is_told(tracker, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    home = Path(tracker.uri.removeprefix("sqlite:///")).parent
    killed = Tracker.open("kills", home, "first")
    with killed.run("done") as done:
        pass
    cut_off = killed.run("cut off")
    run = cut_off.__enter__()
    assert Tracker.open("kills", home, "first").is_of_attempt(run.id)
    assert tracker.client.get_run(run.id).info.status == "RUNNING"
    Tracker.open("kills", home, "after an edit")
    assert tracker.client.get_run(run.id).info.status == "KILLED"
    assert tracker.client.get_run(done.id).info.status == "FINISHED"


TELL = """
import sys
from pathlib import Path
from tasks.tracking import Tracker
with Tracker.open("copies", Path(sys.argv[1]), "of a copy").run("registration") as run:
    print(run.id, flush=True)
    input()
"""


def test_two_that_tell_one_store_at_once_leave_each_others_runs_alone(tracker, monkeypatch, root):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    home = Path(tracker.uri.removeprefix("sqlite:///")).parent
    command = [sys.executable, "-c", TELL, str(home)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        theirs = process.stdout.readline().strip()
        with Tracker.open("copies", home, "of the checkout").run("registration") as ours:
            assert tracker.client.get_run(theirs).info.status == "RUNNING"
        process.kill()
    Tracker.open("copies", home, "of another copy")
    assert tracker.client.get_run(theirs).info.status == "KILLED"
    assert tracker.client.get_run(ours.id).info.status == "FINISHED"


def test_a_dataset_carries_the_digest_of_all_its_content(tracker):
    digest = "ab" * 32
    with tracker.run("data") as run:
        run.datasets([DataInput("toy", digest, Path("data/split/train.parquet"), "training", 10, 3, 4)])
    logged = tracker.client.get_run(run.id).inputs.dataset_inputs[0]
    assert logged.dataset.name == "toy"
    assert digest.startswith(logged.dataset.digest)
    assert {tag.key: tag.value for tag in logged.tags} == {"mlflow.data.context": "training", "sha256": digest}


def test_metric_name():
    assert metric_name("bprmf/ndcg@10") == "bprmf/ndcg_at_10"


def test_a_server_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"; check MLFLOW_TRACKING_URI, and whether its server runs$") as error:
        Tracker.open("trial", tmp_path)
    assert "\n" not in str(error.value)


def test_what_mlflow_refuses_is_no_reason_to_move_its_database(tracker):
    tracker.client.create_registered_model("taken")
    for name, words in (("team/toy", "Invalid model name 'team/toy'"), ("taken", "already exists")):
        with (
            pytest.raises(TrackingError, match=f"{words}.*; correct what it names; where that is right, check MLFLOW"),
            told(tracker.uri),
        ):
            tracker.client.create_registered_model(name)


def test_a_full_disk_is_told_with_its_way_out():
    full = SQLAlchemyError("(sqlite3.OperationalError) database or disk is full\n(Background on this error at …)")
    way_out = "database or disk is full; free some space and run again"
    with pytest.raises(TrackingError, match=way_out) as caught, told("sqlite:///mlflow.db"):
        raise full
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(TrackingError, match=r"mlflow\.db: .*, or move its database aside$") as error:
        Tracker.open("trial", tmp_path)
    assert "\n" not in str(error.value)


def test_an_error_without_words_goes_by_its_name():
    with (
        pytest.raises(TrackingError, match=r"MLflow at sqlite:///mlflow\.db: MlflowException; check"),
        told("sqlite:///mlflow.db"),
    ):
        raise MlflowException("")


OPEN = """
import sys
from pathlib import Path
from tasks.tracking import Tracker
tracker = Tracker.open("together", Path(sys.argv[1]))
with tracker.run(sys.argv[2]) as run:
    run.metrics({"x": 1})
"""


def test_processes_that_start_on_a_fresh_database_at_once_do_not_break_it(tmp_path, root):
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(tmp_path), str(n)], cwd=root, env=environment)
        for n in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("together")
    assert sorted(run.info.run_name for run in client.search_runs([experiment.experiment_id])) == ["0", "1", "2"]
