"""What ``make gc`` may remove, and what must outlive it."""

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion

from dconrec_core.errors import DataError
from tasks import tracking_gc
from tasks.model_registry import Registry
from tasks.retention import old_champions, old_checkpoints
from tasks.tracking import Tracker
from tasks.tracking_gc import old_runs
from tasks.tracking_store import SQLITE
from tasks.versioning import Versions
from tasks.versioning_gc import unneeded_objects
from tests.flows.project import git
from tests.tasks.test_versioning import project as project
from tests.tasks.test_versioning import template as template


def test_the_newest_checkpoints_stay(tmp_path: Path):
    now = time.time()
    ages = {
        "newest.safetensors": 0,
        "oldest.safetensors": 1,
        "finished-0.json": 9 * 86400,
        "finished-1.json": 6 * 86400,
    }
    for name, age in ages.items():
        (tmp_path / name).write_text("x" * 10)
        os.utime(tmp_path / name, (now - age, now - age))
    found = old_checkpoints(tmp_path, 1)
    assert (found.count, found.size) == (2, 20)
    assert len(list(tmp_path.iterdir())) == 4  # it was asked, not told
    found.remove()
    assert {path.name for path in tmp_path.iterdir()} == {"newest.safetensors", "finished-1.json"}


def test_the_newest_champions_stay_and_the_one_that_is_gone_on_from(tmp_path: Path):
    newest, older, start, oldest = (digit * 64 for digit in "abcd")
    for age, name in enumerate((newest, older, start, oldest, f".{oldest}.tmp-1-x", "mine")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text("x" * 10)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert old_champions(tmp_path, 1, None).count == 3
    found = old_champions(tmp_path, 1, start)
    assert (found.count, found.size) == (2, 20)
    found.remove()
    assert {path.name for path in tmp_path.iterdir()} == {newest, start, f".{oldest}.tmp-1-x", "mine"}
    assert old_champions(tmp_path / "none", 1, None).count == 0


def night(project: Path, letter: str) -> str:
    """One run of the first stage with another param; the hash of its output."""
    (project / "params.yaml").write_text(f"letter: {letter}\n")
    (project / "first.txt").write_text(f"{letter} made\n")
    with Versions(project) as versions:
        versions.commit("first")
        return str(versions.hash_of(Path("first.txt")))


def stored(project: Path) -> set[str]:
    files = (project / ".dvc/cache/files/md5").glob("*/*")
    return {path.parent.name + path.name for path in files}


def test_objects_of_the_lock_file_the_last_runs_commits_and_versions_stay(project: Path):
    committed = night(project, "a")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "a")
    registered, old, older, last, current = (night(project, letter) for letter in "bcdef")
    assert stored(project) == {committed, registered, old, older, last, current}
    found = unneeded_objects(project, 2, {registered})
    assert [one.count for one in found] == [2, 4]
    assert found[0].size == 2 * len("c made\n")
    for one in found:
        one.remove()
    assert stored(project) == {committed, registered, last, current}
    with Versions(project) as versions:
        (project / "params.yaml").write_text("letter: e\n")
        assert versions.restore("first")
        (project / "params.yaml").write_text("letter: c\n")
        assert not versions.restore("first")
    assert [one.count for one in unneeded_objects(project, 2, {registered})] == [0, 0]


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{tmp_path / 'mlflow.db'}")
    return Tracker.open("ours", tmp_path)


def register_nights(tracker: Tracker, folder: Path, count: int, model: str = "set") -> None:
    """As many runs, each with a nested one and a version of the registered model."""
    tracker.client.create_registered_model(model)
    (folder / "file.json").write_text(json.dumps("x" * 1000))
    for number in range(1, count + 1):
        with tracker.run(f"night {number}") as run:
            run.artifacts(folder / "file.json")
            with tracker.run(f"model of night {number}", parent=run) as nested:
                nested.metrics({"ndcg": 0.5})
        tracker.client.create_model_version(model, f"runs:/{run.id}/x", run.id, tags={"dvc.hash": f"hash {number}"})


@pytest.mark.slow
def test_versions_with_an_alias_or_a_tag_stay_with_their_runs(tmp_path: Path, tracker: Tracker):
    uri, client = tracker.uri, tracker.client
    Tracker.open("another's", tmp_path)
    register_nights(tracker, tmp_path, 6)
    client.set_registered_model_alias("set", "champion", "1")
    client.set_model_version_tag("set", "2", "keep", "for the paper")
    (nested,) = (run for run in client.search_runs([tracker.experiment_id]) if run.info.run_name == "model of night 3")
    client.set_tag(nested.info.run_id, "keep", "for the paper")
    kept = old_runs(uri, ["ours"], 2)
    assert {run.info.run_name for run in kept.runs} == {
        "night 4",
        "model of night 4",
    }  # the run that it is nested in, too
    client.delete_tag(nested.info.run_id, "keep")
    assert old_runs(uri, ["another's", "nobody's"], 1).runs == []
    found = old_runs(uri, ["ours"], 2)
    assert sorted(int(version.version) for version in found.versions) == [3, 4]
    assert {run.info.run_name for run in found.runs} == {
        f"{what}night {n}" for n in (3, 4) for what in ("", "model of ")
    }
    assert found.kept_hashes == {f"hash {number}" for number in (1, 2, 5, 6)}
    assert found.unneeded()[1].size > 2 * 1000
    found.remove()
    assert sorted(int(v.version) for v in client.search_model_versions("name = 'set'")) == [1, 2, 5, 6]
    assert len(client.search_runs([tracker.experiment_id])) == 8
    assert len(list((tmp_path / "artifacts").glob("*/artifacts/file.json"))) == 4
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT COUNT(*) FROM metrics").fetchone() == (4,)
    again = old_runs(uri, ["ours"], 2)
    assert (again.runs, again.versions) == ([], [])


@pytest.mark.slow
def test_a_copy_of_the_project_lists_nothing_of_the_originals(tmp_path: Path, tracker: Tracker):
    register_nights(tracker, tmp_path, 3)
    copy = tmp_path / "a copy"
    copy.mkdir()
    for name in ("mlflow.db", "artifacts"):
        (shutil.copytree if (tmp_path / name).is_dir() else shutil.copy)(tmp_path / name, copy / name)
    uri = f"{SQLITE}{copy / 'mlflow.db'}"
    found = old_runs(uri, ["ours"], 1)
    assert (found.runs, found.versions) == ([], [])
    assert found.kept_hashes == {"hash 1", "hash 2", "hash 3"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        Tracker.open("ours", copy)
    found = old_runs(uri, ["ours"], 1)
    assert found.unneeded()[1].size > 2 * 1000
    found.remove()
    assert len(list((tmp_path / "artifacts").glob("*/artifacts/file.json"))) == 3
    assert len(list((copy / "artifacts").glob("*/artifacts/file.json"))) == 1


@pytest.mark.slow
def test_a_name_with_an_apostrophe_is_found(tmp_path: Path, tracker: Tracker):
    register_nights(tracker, tmp_path, 3, "Anna's set")
    assert numbers(old_runs(tracker.uri, ["ours"], 1).versions) == [1, 2]
    tracker.client.set_registered_model_alias("Anna's set", "challenger", "3")
    assert Registry(tracker, "Anna's set").is_waiting("3")


def numbers(versions: list[ModelVersion]) -> list[int]:
    return sorted(int(version.version) for version in versions)


@pytest.mark.slow
def test_rollback_finds_the_champion_before_after_many_rejected_nights(tmp_path: Path, tracker: Tracker):
    register_nights(tracker, tmp_path, 8)
    registry = Registry(tracker, "set")
    for version in "123":
        registry.promote(version, "better", "gate")
    for version in "45678":
        registry.decide(version, "rejected", "worse", "gate")
    gone = {keep: numbers(old_runs(tracker.uri, ["ours"], keep).versions) for keep in (1, 2, 3)}
    assert gone == {1: [1, 4, 5, 6, 7], 2: [1, 4, 5, 6], 3: [4, 5]}
    found = old_runs(tracker.uri, ["ours"], 1)
    assert found.kept_hashes == {"hash 2", "hash 3", "hash 8"}
    found.remove()
    assert registry.rollback("clicks fell") == ("3", "2")
    before = tracker.client.get_model_version("set", "2")
    with pytest.raises(DataError, match=r"version 1 of set, champion before version 2, is gone .* 2 stays champion"):
        registry.rollback("clicks fell again")
    after = tracker.client.get_model_version("set", "2")
    assert (after.tags, after.description) == (before.tags, before.description)
    assert str(registry.champion().version) == "2"


@pytest.mark.slow
def test_what_mlflow_gives_by_pages_is_seen_whole(tmp_path: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch):
    for model in ("one", "other"):
        register_nights(tracker, tmp_path, 3, model)
    for run in tracker.client.search_runs([tracker.experiment_id]):
        tracker.client.create_logged_model(tracker.experiment_id, source_run_id=run.info.run_id)
    whole = old_runs(tracker.uri, ["ours"], 1)
    assert {(version.name, int(version.version)) for version in whole.versions} == {
        (model, number) for model in ("one", "other") for number in (1, 2)
    }
    assert (len(whole.runs), len(whole.models)) == (8, 8)
    monkeypatch.setattr(tracking_gc, "PAGE", 1)
    assert sorted(found(old_runs(tracker.uri, ["ours"], 1))) == sorted(found(whole))


def found(old: tracking_gc.OldRuns) -> list[str]:
    """Everything that may go, and what must not, by its name."""
    versions = [f"{version.name} {version.version}" for version in old.versions]
    return [*versions, *(run.info.run_id for run in old.runs), *old.models, *old.kept_hashes]


@pytest.mark.slow
def test_runs_that_a_removal_which_was_cut_off_only_marked_are_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "a home"  # in an address of MLflow a%20home
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{home / 'mlflow.db'}")
    tracker = Tracker.open("ours", home)
    register_nights(tracker, tmp_path, 4)
    client, (first, *_) = tracker.client, tracker.client.search_runs([tracker.experiment_id], order_by=["start_time"])
    client.set_tag(first.info.run_id, "keep", "for the paper")
    for run in client.search_runs([tracker.experiment_id]):
        client.create_logged_model(tracker.experiment_id, source_run_id=run.info.run_id)
    old = old_runs(tracker.uri, ["ours"], 1)
    assert numbers(old.versions) == [2, 3]
    assert old.kept_hashes == {"hash 1", "hash 4"}  # of version 1, too, which stays for its run
    assert old.unneeded()[1].size > 2 * 1000
    monkeypatch.setattr(tracking_gc.subprocess, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        old.remove()
    monkeypatch.undo()
    monkeypatch.setattr(tracking_gc, "AT_ONCE", 3)
    again = old_runs(tracker.uri, ["ours"], 1)
    assert {run.info.run_id for run in again.runs} == {run.info.run_id for run in old.runs}
    again.remove()
    with sqlite3.connect(home / "mlflow.db") as database:
        assert database.execute("SELECT COUNT(*) FROM runs").fetchone() == (4,)
        assert database.execute("SELECT COUNT(*) FROM logged_models").fetchone() == (4,)
    assert len(list((home / "artifacts").glob("*/artifacts/file.json"))) == 2
    assert not any((home / "artifacts" / run.info.run_id).exists() for run in old.runs)
    assert old_runs(tracker.uri, ["ours"], 1).runs == []


def killed(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_a_store_that_was_never_made_has_nothing(tmp_path: Path):
    assert old_runs(f"{SQLITE}{tmp_path / 'mlflow.db'}", ["ours"], 1).runs == []
    assert not (tmp_path / "mlflow.db").exists()
