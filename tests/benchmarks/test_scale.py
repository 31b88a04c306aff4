"""Time and memory at two small sizes."""

import json

import pytest

from benchmarks import results, scale
from benchmarks.datasets import load_split


@pytest.mark.slow
def test_rows_a_size_and_a_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(scale, "SIZES", (1500, 2400))
    tiny = load_split("tiny", tmp_path, 0).train
    monkeypatch.setattr(scale, "shaped_like_ml_20m", lambda size: tiny.take(range(size)))
    scale.main([])
    *sizes, summary = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert [row["n_interactions"] for row in sizes] == [1500, 2400]
    for row in sizes:
        assert row["seconds"] == pytest.approx(sum(row[f"{part}_seconds"] for part in scale.PARTS), abs=0.002)
        assert row["peak_rss_mb"] > 10
    assert {"time_exponent", "memory_exponent"} <= set(summary)
    assert "time grows with exponent" in capsys.readouterr().out


def test_exponents_hand_worked():
    parts = {f"{part}_seconds": 1.0 for part in scale.PARTS}
    rows = [
        {"n_interactions": 10**power, "seconds": 3 * 10 ** (power * 1.5), "peak_rss_mb": 7.0, **parts}
        for power in (2, 3, 4)
    ]
    summary = scale.growth(rows)
    assert summary["time_exponent"] == pytest.approx(1.5)
    assert summary["memory_exponent"] == pytest.approx(0)
    assert summary["pool_time_exponent"] == pytest.approx(0)
