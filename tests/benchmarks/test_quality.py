"""The quality benchmark on a dataset of seconds: every row PROTOCOL asks for, and nothing measured twice."""

import json

import pytest

from benchmarks import quality, results
from benchmarks.quality import Plan, Teaching
from benchmarks.references import References
from dconrec_core.models import MODELS
from tasks.comparison import cannot_matter

NEEDED = {
    "dataset", "ratio", "budget", "n_interactions", "n_users_condensed", "condenser", "source_model",
    "downstream_model", "inductive", "seed", "ndcg@10", "recall@20", "full_ndcg@10", "quality", "reference_quality",
    "teacher_seconds", "condense_seconds", "train_seconds", "full_train_seconds", "peak_rss_mb", "core", "commit",
}  # fmt: skip
TEACHING = Teaching(settings={"regularization": [100.0]}, min_pseudo=10)
PLAN = Plan(
    "tiny", (0.25,), ("random-users", "random"), {"bprmf": {"epochs": 5}}, TEACHING, trials=1, seeds=(0, 1)
)  # fmt: skip


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(quality, "PLANS", (PLAN,))
    return tmp_path / "quality.json"


def test_rows_hold_what_the_protocol_asks_for_and_are_measured_once(path, tmp_path, capsys, monkeypatch):
    quality.main(["--data", str(tmp_path)])
    content = json.loads(path.read_text())
    assert content["command"] == "make bench-quality"
    rows = content["rows"]
    expected = [(seed, condenser) for seed in (0, 1) for condenser in ("random-users", "random")]
    assert [(row["seed"], row["condenser"]) for row in rows] == expected
    for row in rows:
        assert set(row) >= NEEDED
        assert row["n_interactions"] <= row["budget"]
        assert row["inductive"] == (row["condenser"] == "random-users")
        assert row["quality"] == row["reference_quality"] == pytest.approx(row["ndcg@10"] / row["full_ndcg@10"])
        assert not [value for value in row.values() if isinstance(value, dict | list)]
    assert capsys.readouterr().out.count("random-users") == 2

    monkeypatch.setattr(quality.Run, "measure", lambda *_: pytest.fail("measured again"))
    quality.main(["--data", str(tmp_path)])
    assert json.loads(path.read_text())["rows"] == rows


def test_full_data_is_trained_once_a_seed_whatever_condensation_does(path, tmp_path, monkeypatch):
    quality.main(["--data", str(tmp_path)])
    full = json.loads((tmp_path / "full.json").read_text())["rows"]
    assert [(row["model"], row["seed"]) for row in full] == [("bprmf", 0), ("bprmf", 1)]
    monkeypatch.setattr("tasks.comparison.train_and_measure", lambda *_: pytest.fail("trained again"))
    again = References()
    split = quality.Run(tmp_path, again).split("tiny", 0)
    row = again.row("tiny", 0, split, "bprmf", {"epochs": 5}, 1)
    assert row["ndcg@10"] == json.loads(path.read_text())["rows"][0]["full_ndcg@10"]


def test_a_reference_outlives_what_cannot_change_it():
    assert "models/ease.py" in cannot_matter("bprmf")
    assert "models/bprmf.py" not in cannot_matter("bprmf")
    assert "models/lightgcn.py" not in cannot_matter("xsimgcl")  # whose propagation it uses


def test_a_model_too_large_for_full_data_is_beside_the_best_that_is_not(path, tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "TUNED", {"tiny": {"bprmf": {"epochs": 5}, "ease": {}}})
    plan = Plan(
        "tiny", (0.25,), ("random-users",), {"ridge": {}}, TEACHING, trials=1, seeds=(0,), instead=("bprmf", "ease")
    )
    monkeypatch.setattr(quality, "PLANS", (plan,))
    quality.main(["--data", str(tmp_path)])
    (row,) = json.loads(path.read_text())["rows"]
    full = {row["model"]: row["ndcg@10"] for row in json.loads((tmp_path / "full.json").read_text())["rows"]}
    assert set(full) == {"bprmf", "ease"}
    assert row["full_ndcg@10"] == max(full.values()) == full[row["reference_model"]]
    assert row["quality"] == pytest.approx(row["ndcg@10"] / max(full.values()))


def test_a_part_leaves_the_rest_alone(path, tmp_path):
    quality.main(["--data", str(tmp_path), "--seed", "1", "--condenser", "random"])
    assert [(row["seed"], row["condenser"]) for row in json.loads(path.read_text())["rows"]] == [(1, "random")]
    quality.main(["--data", str(tmp_path), "--seed", "0"])
    assert len(json.loads(path.read_text())["rows"]) == 3


def test_plans_name_what_there_is():
    for cell in quality.cells(quality.PLANS):
        assert cell.condenser in quality.CONDENSERS
        assert cell.model in MODELS
        assert (cell.dataset, cell.model) not in {("gowalla", "ease"), ("ciao", "ease")}  # the square of their items
