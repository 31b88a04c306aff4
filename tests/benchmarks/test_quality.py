"""The quality benchmark on a dataset of seconds: every row PROTOCOL asks for, and nothing measured twice."""

import json

import pytest

from benchmarks import datasets, quality, results
from dconrec_core.data.synthetic import SyntheticConfig, SyntheticDataset
from dconrec_core.registry import Entry

NEEDED = {
    "dataset", "ratio", "budget", "n_interactions", "n_users_condensed", "condenser", "source_model",
    "downstream_model", "inductive", "seed", "ndcg@10", "recall@20", "full_ndcg@10", "quality", "teacher_seconds",
    "condense_seconds", "train_seconds", "full_train_seconds", "peak_rss_mb", "core", "commit",
}  # fmt: skip


class Small(SyntheticConfig):
    n_users: int = 80
    n_items: int = 60
    n_interactions: int = 1500


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(datasets, "DATASETS", {"synthetic": Entry(Small, SyntheticDataset)})
    chosen = {
        "DATASET": "synthetic",
        "THRESHOLD": None,
        "SEEDS": (0, 1),
        "TRIALS": 1,
        "MODELS_TRAINED": ("bprmf",),
        "CONDENSERS_TRIED": ("teacher-top", "random"),
    }
    for name, value in chosen.items():
        monkeypatch.setattr(quality, name, value)
    return tmp_path / "quality.json"


def test_rows_hold_what_the_protocol_asks_for_and_are_measured_once(path, tmp_path, capsys, monkeypatch):
    quality.main(["--data", str(tmp_path)])
    content = json.loads(path.read_text())
    assert content["command"] == "make bench-quality"
    rows = content["rows"]
    expected = [(seed, condenser) for seed in (0, 1) for condenser in ("teacher-top", "random")]
    assert [(row["seed"], row["condenser"]) for row in rows] == expected
    for row in rows:
        assert set(row) >= NEEDED
        assert row["n_interactions"] <= row["budget"]
        assert row["quality"] == pytest.approx(row["ndcg@10"] / row["full_ndcg@10"])
        assert not [value for value in row.values() if isinstance(value, dict | list)]
    assert capsys.readouterr().out.count("teacher-top") == 2

    monkeypatch.setattr(quality.Run, "measure", lambda *_: pytest.fail("measured again"))
    quality.main(["--data", str(tmp_path)])
    assert json.loads(path.read_text())["rows"] == rows
