"""What a warm start is worth, as the documents say it."""

import pytest

from benchmarks import tables


def test_table_hand_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"dataset": "ml-1m", "increment": 0.02, "downstream_model": "bprmf", "seed": 0, "cold_ndcg@10": 0.2}
    rows = [
        {**row, "warm_ndcg@10": 0.19, "stale_ndcg@10": 0.1, "time_share": 0.2, "time_share_with_teacher": 0.3},
        {
            **row,
            "warm_ndcg@10": 0.21,
            "stale_ndcg@10": 0.2,
            "time_share": 0.4,
            "time_share_with_teacher": 0.5,
            "seed": 1,
        },
        {**row, "warm_ndcg@10": 0.1, "stale_ndcg@10": 0.1, "time_share": 0.1, "time_share_with_teacher": 0.1}
        | {"increment": 0.05},
    ]
    monkeypatch.setattr(tables, "_rows", lambda name: rows)
    lines = tables.refresh().splitlines()
    assert lines[2] == "| ml-1m | 2 % | BPRMF | 2 | 100.0 % | 75.0 % | 30.0 % | 40.0 % |"
    assert lines[3].startswith("| ml-1m | 5 % | BPRMF | 1 | 50.0 % |")


def test_without_results_the_way_to_them_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_rows", lambda name: [])
    assert "make bench-refresh" in tables.refresh()
