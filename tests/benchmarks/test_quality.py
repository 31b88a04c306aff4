"""The quality benchmark on a dataset of seconds: every row PROTOCOL asks for, and nothing measured twice."""

import json

import pytest

from benchmarks import quality, results
from dconrec_core.errors import ConfigError
from tasks.params import PipelineParams

PARAMS = PipelineParams.model_validate(
    {
        "dataset": {"name": "synthetic", "config": {"n_users": 60, "n_items": 40, "n_interactions": 900}},
        "teacher": {"name": "ease"},
        "condense": {"name": "teacher-top", "ratio": 0.25},
        "evaluate": {
            "models": {"bprmf": {"epochs": 3, "eval_every": 1, "embedding_size": 8}},
            "baselines": ["random"],
            "seeds": [0],
            "trials": 1,
        },
    }
)
NEEDED = {
    "dataset", "ratio", "budget", "n_interactions", "n_users_condensed", "condenser", "source_model",
    "downstream_model", "inductive", "seed", "ndcg@10", "recall@20", "full_ndcg@10", "quality", "reference_quality",
    "teacher_seconds", "condense_seconds", "train_seconds", "full_train_seconds", "peak_rss_mb", "core", "commit",
}  # fmt: skip


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(quality, "SEEDS", (0, 1))
    monkeypatch.setattr(quality, "read_params", lambda root: PARAMS)
    return tmp_path / "quality.json"


def test_rows_hold_what_the_protocol_asks_for(path, capsys, monkeypatch):
    assert quality.main() == 0
    rows = json.loads(path.read_text())["rows"]
    assert [(row["seed"], row["condenser"]) for row in rows] == [
        (0, "teacher-top"),
        (0, "random"),
        (1, "teacher-top"),
        (1, "random"),
    ]
    for row in rows:
        assert set(row) >= NEEDED
        assert row["n_interactions"] <= row["budget"]
        assert row["quality"] == pytest.approx(row["ndcg@10"] / row["full_ndcg@10"])
        assert not [value for value in row.values() if isinstance(value, dict | list)]
    assert capsys.readouterr().out.count("teacher-top") == 2

    # Finished rows are kept: a second run trains nothing.
    monkeypatch.setattr(quality.Seed, "measure", lambda *_: pytest.fail("measured again"))
    assert quality.main() == 0
    assert json.loads(path.read_text())["rows"] == rows


def test_a_user_error_is_one_line(path, capsys, monkeypatch):
    def broken(root):
        raise ConfigError("condense.ratio is missing; add it")

    monkeypatch.setattr(quality, "read_params", broken)
    assert quality.main() == 1
    assert capsys.readouterr().err == "condense.ratio is missing; add it\n"
