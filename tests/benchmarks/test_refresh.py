"""What goes on from an earlier set is asked nothing that the earlier set has seen."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import refresh, results
from benchmarks.results import read_rows
from dconrec_core.condensation import synthetic_users
from dconrec_core.data.prepare import prepare
from dconrec_core.data.synthetic import SyntheticConfig, plant


@pytest.fixture
def folder(tmp_path, monkeypatch):
    planted = plant(SyntheticConfig(n_users=80, n_items=60, n_interactions=2_000))
    times = np.random.default_rng(0).permutation(len(planted.users))
    frame = pd.DataFrame({"user_id": planted.users, "item_id": planted.items, "timestamp": times})
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(refresh, "RATIOS", {"tiny": 0.2})
    monkeypatch.setattr(refresh, "TUNED", {"tiny": {"ridge": {}}})
    monkeypatch.setattr(refresh, "prepared", lambda *_: prepare(frame, None))
    for name, value in (("INCREMENTS", (0.05,)), ("SEEDS", (0,)), ("MODELS", ("ridge",))):
        monkeypatch.setattr(refresh, name, value)
    monkeypatch.setattr(synthetic_users, "default_starts", lambda budget: 1)
    return tmp_path


def test_an_increment_is_condensed_three_ways_and_the_test_part_is_news_to_all(folder, monkeypatch):
    seen, split = [], refresh.temporal_split

    def watched(interactions, timestamps, valid, test):
        seen.append((split(interactions, timestamps, valid, test), len(interactions)))
        return seen[-1][0]

    monkeypatch.setattr(refresh, "temporal_split", watched)
    refresh.main(["--dataset", "tiny"])
    (row,) = read_rows(folder / "refresh.json")
    assert row["quality"] == pytest.approx(row["warm_ndcg@10"] / row["cold_ndcg@10"])
    assert row["time_share"] == pytest.approx(row["warm_cpu_seconds"] / row["cold_cpu_seconds"], rel=0.05)
    (before, n_before), (now, n_now) = seen
    assert n_before == n_now - round(0.05 * n_now)
    for part in (before.train, before.valid):  # what the champion was made from and chosen by
        assert not now.test.contains(part).any()
    monkeypatch.setattr(refresh, "Refresh", lambda *_: pytest.fail("measured again"))
    refresh.main(["--dataset", "tiny"])
