"""What the flow makes of its stages: states, retries, timeouts, artifacts; the stages and DVC are stood in for."""

import json
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from dconrec_core.atomic import write_json
from dconrec_core.errors import DataError
from dconrec_core.options import EpochEvent
from flows.served import home
from flows.stages import Stage
from tests.tasks.report_files import fabricate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


class Versions:
    """DVC as the flow sees it: what is stale until it is committed."""

    def __init__(self, *stale, cached=()):
        self.stale, self.cached, self.committed = set(stale), set(cached), []
        self.hashes = {"seed": 0, "data/raw": "a1"}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def reasons(self, stage):
        return ["seed modified"] if stage in self.stale else []

    def inputs(self, stage):
        return dict(self.hashes)

    def restore(self, stage):
        return stage in self.cached

    def commit(self, stage):
        self.committed.append(stage)


@pytest.fixture
def run(monkeypatch, tmp_path, root):
    """Run the flow over stand-in stages; returns its state, and the states of its tasks by name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    from flows import pipeline as module

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    files = fabricate(tmp_path, seeds=(0,))
    write_json(files.registration, {})

    def run(versions, *stages):
        monkeypatch.setattr(module, "STAGES", stages)
        monkeypatch.setattr(module, "BY_NAME", {stage.name: stage for stage in stages})
        monkeypatch.setattr(module, "Versions", lambda root: versions)
        monkeypatch.setattr(module, "check_names", lambda params: None)
        monkeypatch.setattr(module, "RETRY_SECONDS", [0])
        state = module.pipeline(return_state=True)
        with get_client(sync_client=True) as client:
            flow_run = client.read_flow_run(state.state_details.flow_run_id)
            mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
            artifacts = {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=mine)}
        return SimpleNamespace(state=state, name=flow_run.name, artifacts=artifacts)

    return run


def stage(name, do, **settings):
    return Stage(name, f"do {name}", (), lambda params, files, options: do(), **settings)


def test_runs_what_is_stale_commits_it_and_leaves_the_rest(run):
    did = []
    versions = Versions("a", "c", cached=["c"])
    result = run(versions, *(stage(name, lambda name=name: did.append(name)) for name in "abc"))
    assert result.state.is_completed()
    assert result.state.message == "did a, c"
    assert (did, versions.committed) == (["a"], ["a"])
    assert result.name == "ml-100k auto 0.05"


def test_leaves_the_table_the_report_and_the_progress_in_the_ui(run):
    artifacts = run(Versions(), stage("a", lambda: None)).artifacts
    rows = json.loads(artifacts["results"].data)
    assert rows[0]["training set"] == "Full data"
    assert {"NDCG@10", "Recall@20", "speed-up"} <= set(rows[0])
    assert "report.html" in artifacts["report"].data
    assert "mlflow-run" not in artifacts  # no page of MLflow is served, so none can be linked to
    assert artifacts["progress"].data == 100


def test_a_training_does_not_wait_for_a_server_that_is_away(run, monkeypatch):
    from flows import artifacts

    back, sent, send = threading.Event(), [], artifacts.update_progress_artifact

    def wait_and_send(artifact, progress):
        assert back.wait(10)
        sent.append(progress)
        return send(artifact, progress=progress)

    def train(params, files, options):
        for epoch in (1, 2, 3):
            options.on_epoch(EpochEvent("toy", epoch, 4))
        back.set()

    monkeypatch.setattr(artifacts, "update_progress_artifact", wait_and_send)
    monkeypatch.setattr(artifacts, "UPDATE_SECONDS", 0)
    result = run(Versions("a"), Stage("a", "", (), train))
    assert result.state.is_completed(), result.state.message
    assert (sent, result.artifacts["progress"].data) == ([25, 100], 100)


def test_a_failure_of_the_input_stops_the_flow_in_one_line_and_is_not_tried_again(run):
    tries = []

    def fail():
        tries.append(1)
        raise DataError("no column 'rating'\nin ratings.csv")

    versions = Versions("a", "b")
    result = run(versions, stage("a", fail, retries=2), stage("b", lambda: None))
    assert (result.state.type.value, result.state.name) == ("FAILED", "Stopped")
    assert result.state.message == "a: no column 'rating' in ratings.csv"
    assert len(tries) == 1
    assert "no column 'rating' in ratings.csv" in result.artifacts["failure"].data
    assert result.artifacts["failure"].flow_run_id == result.state.state_details.flow_run_id
    last = (home() / "logs/failures.log").read_text().splitlines()[-1]
    assert last.endswith("dconrec 'ml-100k auto 0.05' Stopped: a: no column 'rating' in ratings.csv")
    assert versions.committed == []


def test_what_changes_while_a_stage_runs_stops_the_flow_and_nothing_is_committed(run):
    versions = Versions("a", "b")
    result = run(versions, stage("a", lambda: versions.hashes.update(seed=1)), stage("b", lambda: None))
    assert result.state.name == "Stopped"
    assert result.state.message == "a: seed changed while it ran, so its outputs are not kept; run again"
    assert versions.committed == []


def test_each_stage_runs_with_the_params_that_dvc_will_remember(run, tmp_path):
    file, seen = tmp_path / "params.yaml", []

    def edit(params, files, options):
        seen.append((params.seed, options.seed))
        file.write_text(file.read_text().replace("seed: 0 #", "seed: 7 #"))

    result = run(Versions("a", "b"), *(Stage(name, "", (), edit) for name in "ab"))
    assert result.state.is_completed()
    assert seen == [(0, 0), (7, 7)]


def test_what_may_answer_the_next_time_is_tried_again(run):
    tries = []

    def fail_twice():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no answer")

    versions = Versions("a")
    result = run(versions, stage("a", fail_twice, retries=2))
    assert result.state.is_completed()
    assert (len(tries), versions.committed) == (3, ["a"])


def test_a_stage_that_takes_too_long_is_stopped(run):
    result = run(Versions("a"), stage("a", lambda: time.sleep(20), timeout=timedelta(seconds=1)))
    assert result.state.name == "Stopped"
    assert "timeout" in result.state.message


def test_a_bug_keeps_its_traceback(run):
    result = run(Versions("a"), stage("a", lambda: 1 / 0))
    assert result.state.is_failed()
    with pytest.raises(ZeroDivisionError):
        result.state.result()


def test_two_flows_in_one_folder_do_not_meet(run, tmp_path):
    from filelock import FileLock

    lock = tmp_path / ".dvc/tmp/pipeline.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        result = run(Versions("a"), stage("a", lambda: None))
    assert result.state.name == "Stopped"
    assert "another pipeline works in this folder" in result.state.message
