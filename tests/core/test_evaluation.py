"""Ranking in blocks, whatever fits into memory."""

import numpy as np
import pytest
import torch

from dconrec_core.evaluation import RankingTask
from dconrec_core.ranking import DotProducts, top_items
from dconrec_core.types import Interactions, Split

SEEN = Interactions.of([0, 3], [1, 2], 10, 6)
USERS = np.arange(10, dtype=np.int32)
TABLE = np.random.default_rng(0).random((10, 6), dtype=np.float32)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_block_that_does_not_fit_is_halved_and_said_so(error: type[Exception]) -> None:
    sizes = []

    def score(users: np.ndarray) -> np.ndarray:
        sizes.append(len(users))
        if len(users) > 3:
            raise error("too large")
        return TABLE[users]

    with pytest.warns(RuntimeWarning, match="of 10 users x 6 items do not fit into memory; going on with 5"):
        ranked = top_items(score, SEEN, USERS, 4)
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    np.testing.assert_array_equal(ranked, top_items(lambda users: TABLE[users], SEEN, USERS, 4))


def test_single_user_that_does_not_fit_is_an_error() -> None:
    def score(users: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.warns(RuntimeWarning), pytest.raises(MemoryError):
        top_items(score, SEEN, USERS, 4)
    with pytest.raises(MemoryError):
        top_items(score, SEEN, USERS[:1], 4)


def test_among_some_items_is_the_full_ranking_where_the_others_score_least(planted_split: Split) -> None:
    train, valid, rng = planted_split.train, planted_split.valid, np.random.default_rng(0)
    items = np.sort(rng.permutation(train.n_items)[:30]).astype(np.int32)
    users, some = rng.random((train.n_users, 5), dtype=np.float32), rng.random((30, 5), dtype=np.float32)
    every = np.zeros((train.n_items, 5), dtype=np.float32)
    every[items] = some
    task = RankingTask.valid(train, valid)
    expected = task.measure(DotProducts(users, every), (10,))["ndcg@10"]
    assert task.among(items).measure(DotProducts(users, some), (10,))["ndcg@10"] == pytest.approx(expected, abs=1e-6)
    assert expected > 0
