"""``make gc`` in a whole project."""

import inspect
import os
import sys
from pathlib import Path

import pytest

from flows.compare import compare
from tasks.comparison_tracking import FACTS, MAIN, PARAMS, track_comparison
from tasks.tracking import Tracker
from tasks.tracking_store import SQLITE
from tests.flows.project import TINY, call, make_project

pytestmark = pytest.mark.slow


def test_gc_keeps_the_newest_champion_and_the_one_that_params_yaml_goes_on_from(tmp_path: Path):
    newest, older, start = (digit * 64 for digit in "abc")
    project = make_project(tmp_path / "home", [*TINY, f"condense.start={start}"])
    for age, name in enumerate((newest, older, start)):
        (project / "data/champions" / name).mkdir(parents=True)
        (project / "data/champions" / name / "card.json").write_text("x" * 10)
        os.utime(project / "data/champions" / name, (1000 - age, 1000 - age))
    command = [sys.executable, "-m", "flows.cleanup", "--keep", "1"]
    assert " 1  fetched champions, 0.0 MB\n" in call(project, *command).stdout
    assert len(list((project / "data/champions").iterdir())) == 3  # it was asked, not told
    call(project, *command, "--yes")
    assert {path.name for path in (project / "data/champions").iterdir()} == {newest, start}


def test_gc_keeps_the_last_comparisons_with_their_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = make_project(tmp_path / "home")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{project / 'mlflow/mlflow.db'}")
    usual, row = inspect.signature(compare.fn).parameters["experiment"].default, dict.fromkeys((*PARAMS, *FACTS), "x")
    for name in ("old", "last"):
        for experiment in (usual, "my own"):
            rows = [{**row, **dict.fromkeys(MAIN, 0.5), "ratio": 0.1, "seed": seed} for seed in range(2)]
            track_comparison(experiment, name, {}, rows, project / "mlflow", project / "params.yaml")
    said = call(project, sys.executable, "-m", "flows.cleanup", "--keep", "1", "--yes").stdout
    assert " 3  runs of MLflow, " in said
    for experiment, count in ((usual, 1 + 2), ("my own", 2 * (1 + 2))):
        tracker = Tracker.open(experiment, project / "mlflow")
        runs = tracker.client.search_runs([tracker.experiment_id])
        assert len(runs) == count
        assert "last" in {run.info.run_name for run in runs}
