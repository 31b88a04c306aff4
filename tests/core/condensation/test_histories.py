"""Lessons: what is shown and what is asked for never overlap, and weigh what they should."""

import numpy as np
import pytest
import torch

from dconrec_core.condensation.histories import Histories, places, teacher_targets, worth_mentioning
from dconrec_core.types import CandidatePool, Interactions, Split
from tests.contracts import planted_pool


@pytest.fixture
def pool() -> CandidatePool:
    """User 0 has items 0 and 1 and is offered 3 above 2; user 1 has 1 and is offered 0; user 2 has nothing."""
    pairs = Interactions.of([0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 1], 3, 6)
    return CandidatePool(
        pairs, np.array([True, True, False, False, False, True]), np.array([9, 9, 1, 2, 1, 9], dtype=np.float32)
    )


def test_weights_of_the_teachers_items_fall_by_rank_and_sum_to_1(pool: CandidatePool) -> None:
    unseen, weights = teacher_targets(pool, n_targets=5, rank_scale=2.0)
    assert list(zip(unseen.users, unseen.items, strict=True)) == [(0, 2), (0, 3), (1, 0)]
    first = 1 / (1 + np.exp(-0.5))  # of two items: e^0 and e^(-1/2)
    np.testing.assert_allclose(weights, [1 - first, first, 1], rtol=1e-6)
    only_best, _ = teacher_targets(pool, n_targets=1, rank_scale=2.0)
    assert list(only_best.items) == [3, 0]


def test_items_worth_mentioning(pool: CandidatePool) -> None:
    # Popularity: 0 once, 1 twice, of 3. Offered, of 2 users: 0 by 1, 3 by .62, 2 by .38. Nobody has or gets 4 and 5.
    assert list(worth_mentioning(pool, 2, 5, 2.0)) == [0, 1]
    assert list(worth_mentioning(pool, 3, 5, 2.0)) == [0, 1, 3]
    assert list(worth_mentioning(pool, 6, 5, 2.0)) == [0, 1, 2, 3]


def test_nothing_hidden_is_all_visible_and_the_teacher_asks_for_the_rest(pool: CandidatePool) -> None:
    histories = Histories(pool, np.array([0, 1, 3], dtype=np.int32), 5, 2.0)
    assert list(histories.users) == [0, 1]
    lesson = histories.lesson(np.array([1, 0]), hidden=0.0, hidden_weight=0.25, rng=np.random.default_rng(0))
    assert lesson.shown.table.T.tolist() == [[0, 1, 0], [1, 1, 0]]
    first = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(lesson.target.T, [[0.75, 0, 0], [0, 0, 0.75 * first]], rtol=1e-6)


def test_lessons_lie_where_they_are_asked_for(pool: CandidatePool) -> None:
    elsewhere = torch.device("meta")
    histories = Histories(pool, np.arange(4, dtype=np.int32), 5, 2.0, elsewhere)
    lesson = histories.lesson(np.array([1, 0]), hidden=0.0, hidden_weight=0.25, rng=np.random.default_rng(0))
    assert (lesson.shown.table.device, lesson.target.device) == (elsewhere, elsewhere)


def test_places_of_a_large_table_do_not_overflow() -> None:
    got = places(np.array([0, 5]), np.array([3, 40_000], dtype=np.int32), 100_000)
    assert got.tolist() == [300_000, 4_000_000_005]


def test_what_is_hidden_is_asked_for(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    train = planted_split.train
    histories = Histories(pool, np.arange(train.n_items, dtype=np.int32), 20, 2.0)
    users = np.arange(train.n_users)
    lesson = histories.lesson(users, 0.8, 0.5, np.random.default_rng(1))
    seen, visible, target = train.csr().toarray()[users], lesson.shown.table.numpy().T, lesson.target.numpy().T
    assert not (visible * target).any()
    assert (visible <= seen).all()
    hidden = (seen == 1) & (visible == 0)
    assert hidden.any()
    assert (target[hidden] > 0).all()
    some = hidden.any(axis=1)
    np.testing.assert_allclose((target * seen).sum(axis=1)[some], 0.5, rtol=1e-5)
    np.testing.assert_allclose((target * (1 - seen)).sum(axis=1), 0.5, rtol=1e-5)
