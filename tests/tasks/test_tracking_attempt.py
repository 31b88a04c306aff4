"""A registration that is cut off and tried again leaves each run, metric and version once."""

import subprocess
import sys
from pathlib import Path

import pytest

from dconrec_core.atomic import write_text
from tasks import register as module
from tasks import tracking
from tasks.comparison_tracking import FACTS, MAIN, PARAMS, track_comparison
from tasks.tracking import Run, Tracker
from tasks.tracking_attempt import Attempt
from tasks.tracking_store import SQLITE, StoreError, make_store
from tests.tasks.report_files import MODELS, fabricate
from tests.tasks.test_register import params


def test_the_same_content_goes_on_and_other_content_begins_anew(tmp_path: Path):
    ended: list[str] = []

    def begin(identity: str, experiment: str = "1") -> Attempt:
        return Attempt.begin(tmp_path, experiment, identity, ended.append)

    elsewhere, first = begin("content", "10"), begin("content")
    assert not first.resumed
    assert begin("content") == Attempt(first.id, resumed=True)
    assert ended == []
    other = begin("other")
    assert not other.resumed
    assert ended == [first.id]
    for cut in ("", "[1]", '{"id": "other"}'):
        (tmp_path / f"attempt-1-{other.id}.json").write_text(cut)
        ended.clear()
        again = begin("other")
        assert not again.resumed
        assert ended == [other.id]
        other = again
    left = {
        f"attempt-{name}.{suffix}" for name in (f"10-{elsewhere.id}", f"1-{other.id}") for suffix in ("json", "lock")
    }
    assert {path.name for path in tmp_path.iterdir()} == left


BEGIN = """
import sys
from pathlib import Path
from tasks.tracking_attempt import Attempt
print(Attempt.begin(Path(sys.argv[1]), "1", "theirs", print).id, flush=True)
input()
"""


def test_an_attempt_is_neither_gone_on_with_nor_ended_while_its_process_lives(tmp_path: Path, root: Path):
    ended: list[str] = []
    command = [sys.executable, "-c", BEGIN, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        theirs = process.stdout.readline().strip()
        twin = Attempt.begin(tmp_path, "1", "theirs", ended.append)
        assert not twin.resumed
        ours = Attempt.begin(tmp_path, "1", "ours", ended.append)
        assert ended == [twin.id]
        process.kill()
    assert Attempt.begin(tmp_path, "1", "ours", ended.append) == Attempt(ours.id, resumed=True)
    assert set(ended) == {twin.id, theirs}


class CutOff(BaseException):
    """As a kill: nothing behind it is run but what Python itself does."""


@pytest.mark.slow
def test_what_is_cut_off_anywhere_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{tmp_path / 'mlflow.db'}")
    files = fabricate(tmp_path, seeds=(0,))
    write_text(files.condensed / "card.md", "# toy\n")
    write_text(files.report, "<h1>report</h1>")
    flush, left = Run.flush, iter([1, 4, 10**6])  # cut off in the first run, in the fourth, never

    def some(run: Run) -> None:
        nonlocal budget
        budget -= 1
        if budget <= 0:
            raise CutOff
        flush(run)

    monkeypatch.setattr(Run, "flush", some)
    for _ in range(2):
        budget = next(left)
        with pytest.raises(CutOff):
            module.register(params(), files, files.registration)
    budget = next(left)
    written = module.write_json
    monkeypatch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(CutOff()))
    with pytest.raises(CutOff):  # after the last word to MLflow
        module.register(params(), files, files.registration)
    monkeypatch.setattr(module, "write_json", written)
    module.register(params(), files, files.registration)
    client = Tracker.open("dconrec", tmp_path).client
    runs = client.search_runs([client.get_experiment_by_name("dconrec").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.info.run_name for run in runs}) == len(runs) > len(MODELS) * 3
    for run in runs:
        for name in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert len(set(steps)) == len(steps), name
    assert [version.version for version in client.search_model_versions("name = 'toy-condensed'")] in ([1], ["1"])


@pytest.mark.slow
def test_a_comparison_that_is_cut_off_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SQLITE}{tmp_path / 'mlflow.db'}")
    row = {**dict.fromkeys((*PARAMS, *FACTS), "x"), **dict.fromkeys(MAIN, 0.5), "ratio": 0.1}
    rows = [{**row, "seed": seed, "ndcg@10": 0.1 * seed} for seed in range(3)]
    flush, left = Run.flush, iter(range(2))  # the second cell's is refused

    def some(run: Run) -> None:
        if next(left, None) is None:
            raise CutOff
        flush(run)

    monkeypatch.setattr(Run, "flush", some)
    monkeypatch.setattr(tracking, "PAGE", 1)  # what was begun is on several
    with pytest.raises(CutOff):
        track_comparison("compared", "all", {"seeds": 3}, rows, tmp_path)
    monkeypatch.setattr(Run, "flush", flush)
    tracked = track_comparison("compared", "all", {"seeds": 3}, rows, tmp_path)
    client = Tracker.open("compared", tmp_path).client
    runs = client.search_runs([tracked.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 1 + 3
    assert {run.info.run_id for run in runs} == {tracked.run_id, *tracked.cells}
    again = track_comparison("compared", "all", {"seeds": 3}, [*rows, {**rows[0], "seed": 3}], tmp_path)
    assert again.run_id != tracked.run_id  # another comparison


@pytest.mark.slow
def test_a_fresh_store_appears_whole_or_not_at_all(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    with pytest.raises((StoreError, OSError)):
        make_store(tmp_path / "mlflow.db/below a file")
    (tmp_path / "mlflow.db").unlink()
    make_store(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    before = (tmp_path / "mlflow.db").read_bytes()
    assert before.startswith(b"SQLite format 3")
    make_store(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == before
