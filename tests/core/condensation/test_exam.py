import numpy as np
import pytest

from dconrec_core.condensation.exam import Exam
from dconrec_core.evaluation import RankingTask
from dconrec_core.ranking import DotProducts
from dconrec_core.types import Interactions, Split


def test_it_is_the_full_ranking_where_the_other_items_score_least(planted_split: Split) -> None:
    train, valid, rng = planted_split.train, planted_split.valid, np.random.default_rng(0)
    items = np.sort(rng.permutation(train.n_items)[:30]).astype(np.int32)
    inputs, outputs = rng.random((2, 5, 30), dtype=np.float32)
    by_item, scored = np.zeros((2, train.n_items, 5), dtype=np.float32)
    by_item[items], scored[items] = inputs.T, outputs.T
    users = np.ascontiguousarray(train.csr() @ by_item, dtype=np.float32)
    expected = RankingTask.valid(train, valid).measure(DotProducts(users, scored), (10,))["ndcg@10"]
    assert Exam(train, valid, items).quality(inputs, outputs) == pytest.approx(expected, abs=1e-6)
    assert expected > 0


def test_nothing_to_find_is_worth_nothing(planted: Interactions) -> None:
    nothing, items = planted.take(np.zeros(len(planted), dtype=bool)), np.arange(20, dtype=np.int32)
    assert Exam(planted, nothing, items).quality(*np.ones((2, 3, 20), dtype=np.float32)) == 0
