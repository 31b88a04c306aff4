"""Selection as a flow: what it makes of its trainings, and the whole path with Prefect, DVC and MLflow."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dconrec_core.errors import DataError
from dconrec_core.selection import Measured
from tests.flows.project import call, dvc, environment, make_project, selection
from tests.flows.test_flow import Versions
from tests.tasks.small_stages import run_augment, run_condense, run_pretrain, write_split_folder

pytestmark = pytest.mark.slow

GRID = "{bprmf: {embedding_size: [2, 4], epochs: [5], weight_decay: [0.001, 0.1]}, ease: {regularization: [[1], [50]]}}"
N_CONFIGURATIONS = 6


@pytest.fixture
def run(monkeypatch, tmp_path, root, prefect_server, planted_split):
    """Run the flow in a folder that has a condensed set; DVC and the trainings are stood in for."""
    from flows import selection as module
    from flows.params import write_changes
    from tasks import selection as task
    from tasks import selection_tracking as tracking
    from tasks.params import CondenseParams
    from tasks.workspace import Workspace

    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    write_changes(tmp_path, {"select.grid": {"ease": {"regularization": [[1.0], [10.0]]}}})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "check_names", lambda params: None)
    monkeypatch.setattr(tracking, "track_selection", lambda *_: "run-1")

    def run(versions, train, condensed=True):
        if condensed:
            files = Workspace()
            write_split_folder(files, planted_split)
            run_pretrain(files)
            run_augment(files)
            run_condense(files, CondenseParams(name="random", ratio=0.5))
        monkeypatch.setattr(module, "Versions", lambda root: versions)
        monkeypatch.setattr(task, "train_once", train)
        return module.select(return_state=True)

    return run


def never(*_):
    pytest.fail("was trained")


@pytest.mark.parametrize(
    ("versions", "condensed", "message"),
    [
        (Versions(), False, "data/condensed does not exist; run the pipeline first (make demo, or dvc repro condense)"),
        (Versions("split"), True, "data/condensed is not up to date (split: seed modified); run the pipeline first"),
    ],
)
def test_without_the_set_that_is_asked_for_nothing_is_trained(run, versions, condensed, message):
    state = run(versions, never, condensed)
    assert (state.type.value, state.name) == ("FAILED", "Stopped")
    assert state.message.startswith(message)


def test_a_stage_after_condense_may_be_stale(run):
    state = run(Versions("evaluate", "report"), lambda *_: Measured(0.1, 0.1, 0.1, 1.0))
    assert state.is_completed(), state.message
    assert state.message == "4 trained, 0 from earlier runs; MLflow run run-1 in dconrec-selection"


def test_what_is_trained_and_written_outlasts_a_tracker_that_refuses(run, monkeypatch):
    from tasks import selection_tracking as tracking
    from tasks.tracking import TrackingError

    def refuse(*_):
        raise TrackingError("MLflow does not answer")

    monkeypatch.setattr(tracking, "track_selection", refuse)
    state = run(Versions(), lambda *_: Measured(0.1, 0.1, 0.1, 1.0))
    assert (state.name, state.message) == ("Stopped", "track: MLflow does not answer")
    assert len(json.loads(Path("results/selection.rows.json").read_text())) == 4
    assert Path("results/selection.html").is_file()


def test_the_first_failure_stops_the_rest_in_one_line(run):
    tried = []

    def fail(configuration, *_):
        tried.append(configuration.name)
        raise DataError("no room\nanywhere")

    state = run(Versions(), fail)
    assert (state.name, state.message) == ("Stopped", "ease regularization 1.0 on condensed: no room anywhere")
    assert len(tried) == 1


def test_a_bug_keeps_its_traceback(run):
    tried = []

    def divide(configuration, *_):
        tried.append(configuration.name)
        return 1 / 0

    state = run(Versions(), divide)
    assert state.is_failed()
    with pytest.raises(ZeroDivisionError):
        state.result()
    assert len(tried) == 1


MAKE_SET = """
from pathlib import Path
from dconrec_core.options import RunOptions
from flows.params import read_params
from flows.stages import STAGES
from tasks.versioning import Versions
from tasks.workspace import Workspace

with Versions(Path()) as versions:
    for stage in STAGES[:6]:
        stage.run(read_params(Path()), Workspace(), RunOptions())
        versions.commit(stage.name)
"""
"""Up to condense, as the pipeline does it, in one process and without a server."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a condensed set of whole users; nothing is selected yet."""
    from flows.params import parse_changes, write_changes

    folder = make_project(tmp_path_factory.mktemp("selection") / "project")
    set_ = "condense={name: random-users, ratio: 0.5, config: {}}"
    write_changes(folder, parse_changes([set_, f"select.grid={GRID}"]))
    call(folder, sys.executable, "-c", MAKE_SET)
    return folder


def test_killed_half_way_it_goes_on_and_ends_in_files_prefect_and_mlflow(project):
    from mlflow import MlflowClient

    rows = project / "results/selection.rows.json"
    command = [sys.executable, "-m", "flows.selection"]
    killed = subprocess.Popen(command, cwd=project, env=environment(), start_new_session=True)
    deadline = time.monotonic() + 300
    try:
        while not rows.is_file() or len(json.loads(rows.read_text())) < 3:
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)  # Prefect's own server too, as when the power fails
        killed.wait()
    before = json.loads(rows.read_text())
    assert 3 <= len(before) < 2 * N_CONFIGURATIONS
    assert not (project / "results/selection.json").exists()

    said = selection(project)
    assert said.returncode == 0, said.stdout + said.stderr
    after = json.loads(rows.read_text())
    assert len(after) == 2 * N_CONFIGURATIONS
    assert {key: after[key] for key in before} == before  # seconds included: not measured again
    new = 2 * N_CONFIGURATIONS - len(before)
    assert f"\n{new} trained, {len(before)} from earlier runs; MLflow run " in said.stdout
    assert said.stderr.count("from an earlier run") == len(before)
    assert re.search(r"^\[12/12\] ease regularization 50 on full +valid NDCG@10 0\.\d{4} ", said.stderr, flags=re.M)
    assert "Traceback" not in said.stderr
    for words in ("6 configurations", "random-users (inductive, ", "Kendall's tau", "regret", "results/selection.html"):
        assert words in said.stdout

    result = json.loads((project / "results/selection.json").read_text())
    client = MlflowClient(f"sqlite:///{project / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("dconrec-selection")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.metrics["kendall_tau"] == pytest.approx(result["kendall_tau"])
    assert parent.data.metrics["regret"] == pytest.approx(result["regret"])
    for name in ("regret", "time_ratio"):
        history = client.get_metric_history(parent.info.run_id, f"shortlist/{name}")
        wanted = {one["size"]: pytest.approx(one[name]) for one in result["shortlists"]}
        assert {point.step: point.value for point in history} == wanted
    assert parent.data.tags["chosen"] == result["chosen"]
    assert {logged.dataset.name for logged in parent.inputs.dataset_inputs} == {"synthetic", "synthetic-condensed"}
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {
        "selection.html", "selection.json", "selection.csv",
    }  # fmt: skip
    nested = {run.info.run_name: run for run in runs if run is not parent}
    assert set(nested) == {row["configuration"] for row in result["rows"]}
    one, shown = nested[result["chosen"]], next(r for r in result["rows"] if r["configuration"] == result["chosen"])
    assert one.data.params["model"] == shown["model"]
    assert one.data.metrics["condensed/valid_ndcg_at_10"] == pytest.approx(shown["condensed"]["valid"])
    assert one.data.metrics["full/ndcg_at_10"] == pytest.approx(shown["full"]["test"])
    assert one.data.metrics["full/train_seconds"] > 0
    assert json.loads(dvc(project, "status", "--json", "condense")) == {}  # nothing of the pipeline was touched


def test_with_a_shortlist_it_ends_with_what_to_take_and_trains_nothing_anew(project):
    said = selection(project, "select.shortlist=2")
    assert said.returncode == 0, said.stdout + said.stderr
    result = json.loads((project / "results/selection.json").read_text())
    assert [row["full"] is not None for row in result["rows"]].count(True) == 2
    assert f"\n0 trained, {N_CONFIGURATIONS + 2} from earlier runs; MLflow run " in said.stdout
    assert f"take        {result['best']}  (the best of 2 on full data, by valid: test NDCG@10 0." in said.stdout
    assert "Kendall" not in said.stdout
    assert re.search(r"^\[8/8\] .* on full ", said.stderr, flags=re.M)


def test_it_says_in_one_line_what_is_wrong_before_anything_runs(project):
    said = selection(project, "select.seeds=1")
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].endswith(
        "select.seeds is not a setting; did you mean 'seed'? valid names: experiment, grid, seed, shortlist"
    )
    assert "Traceback" not in said.stderr
