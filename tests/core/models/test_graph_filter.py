import numpy as np
import pytest

from dconrec_core.evaluation import RankingTask
from dconrec_core.models import graph_filter
from dconrec_core.models.graph_filter import GraphFilter, GraphFilterConfig
from dconrec_core.options import RunOptions
from dconrec_core.types import IntArray, Split


def test_it_is_the_dense_formula(planted_split: Split) -> None:
    train = planted_split.train
    config = GraphFilterConfig(input_exponent=0.2, output_exponent=[0.4], ideal_weight=[0.7], rank=40)
    model = GraphFilter(config)
    model.fit(train, None, RunOptions(device="cpu"))
    x = train.csr().toarray().astype(np.float64)
    users, items = (np.maximum(x.sum(axis=axis), 1) for axis in (1, 0))
    graph = x / np.sqrt(users)[:, None] / np.sqrt(items)
    right = np.linalg.svd(graph)[2][:40]
    expected = (x * items**-0.2) @ (graph.T @ graph + 0.7 * right.T @ right) * items**0.4
    np.testing.assert_allclose(model.score(np.arange(60, dtype=np.int32)), expected, rtol=1e-4, atol=1e-4)


def test_best_weights_on_valid_are_kept(planted_split: Split) -> None:
    task = RankingTask.valid(planted_split.train, planted_split.valid)
    model = GraphFilter(GraphFilterConfig(output_exponent=[-2.0, 0.25, 3.0], rank=4))
    history = model.fit(planted_split.train, task, RunOptions(device="cpu"))
    best = max(history.rows, key=lambda row: row["valid_ndcg@10"])
    assert history.best_epoch == best["epoch"]
    assert history.best_valid == best["valid_ndcg@10"]
    assert task.measure(model.score, (10,))["ndcg@10"] == pytest.approx(history.best_valid)
    assert len({row["valid_ndcg@10"] for row in history.rows}) > 1


def test_many_users_are_sampled(planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_filter, "USERS_TO_CHOOSE_BY", 10)
    task = RankingTask.valid(planted_split.train, planted_split.valid)
    model = GraphFilter(GraphFilterConfig(rank=4))
    assert 0 < model.fit(planted_split.train, task, RunOptions(device="cpu")).best_valid <= 1


def test_trials_of_any_rank_are_compared_on_the_same_users(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_filter, "USERS_TO_CHOOSE_BY", 10)
    task = RankingTask.valid(planted_split.train, planted_split.valid)
    asked: list[list[int]] = []
    of = RankingTask.of

    def remembering(self: RankingTask, users: IntArray) -> RankingTask:
        asked.append(users.tolist())
        return of(self, users)

    monkeypatch.setattr(RankingTask, "of", remembering)
    for rank, seed in ((4, 0), (8, 0), (4, 1)):
        GraphFilter(GraphFilterConfig(rank=rank)).fit(planted_split.train, task, RunOptions(seed, "cpu"))
    assert len(asked) == 3
    assert asked[0] == asked[1] != asked[2]


def test_a_block_of_many_histories_is_taken_in_parts_to_the_same_scores(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = GraphFilter(GraphFilterConfig(rank=4))
    model.fit(planted_split.train, None, RunOptions(device="cpu"))
    users = np.arange(60, dtype=np.int32)
    whole = model.score(users)
    monkeypatch.setattr(graph_filter, "REACHED_CELLS", 7 * planted_split.train.n_users)
    np.testing.assert_array_equal(model.score(users), whole)
    assert model.score(users[:0]).shape == (0, 40)
