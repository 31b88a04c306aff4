"""What the baselines choose, and the quota they share out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.base import best_candidates, equal_quota, rank_within_user
from dconrec_core.condensation.baselines import TeacherTop, TeacherTopConfig
from dconrec_core.errors import BudgetError
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, Interactions, Split
from tests.contracts import condensed, planted_pool


def test_random_takes_observed_rows_alone_and_the_pool_draw_takes_both(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    assert condensed("random", pool, planted_split, 0.5).observed.all()
    share = condensed("random-pool", pool, planted_split, 0.9).observed.mean()
    assert share == pytest.approx(pool.observed.mean(), abs=0.08)


def test_popularity_takes_the_most_popular_items(planted_split: Split) -> None:
    train = planted_split.train
    kept = condensed("popularity", planted_pool(planted_split), planted_split, 0.3)
    left_out = train.take(~kept.interactions.contains(train))
    degree = train.item_degree
    assert degree[kept.interactions.items].min() >= degree[left_out.items].max()


def test_popularity_decides_between_items_and_chance_within_one(planted_split: Split) -> None:
    pool, degree = planted_pool(planted_split), planted_split.train.item_degree
    first, second = (condensed("popularity", pool, planted_split, 0.3, seed).interactions for seed in (0, 1))
    assert sorted(degree[first.items]) == sorted(degree[second.items])
    differing = first.take(~second.contains(first))
    assert len(differing)
    assert set(degree[differing.items]) == {degree[first.items].min()}


def test_teacher_top_takes_each_users_best_the_same_number_each(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    kept = condensed("teacher-top", pool, planted_split, 0.5)
    counts = kept.interactions.user_degree
    assert counts.max() - counts.min() <= 1
    chosen = pool.interactions.users[kept.interactions.contains(pool.interactions)], pool.score
    mask = kept.interactions.contains(pool.interactions)
    for user in np.unique(chosen[0]):
        mine = pool.interactions.users == user
        assert pool.score[mine & mask].min() >= pool.score[mine & ~mask].max()


def histories(interactions: Interactions) -> list[frozenset[int]]:
    bounds = interactions.indptr
    return [frozenset(interactions.items[bounds[user] : bounds[user + 1]].tolist()) for user in range(len(bounds) - 1)]


def test_random_users_are_whole_histories_but_for_the_last(planted_split: Split) -> None:
    train = planted_split.train
    kept = condensed("random-users", planted_pool(planted_split), planted_split, 0.29)
    whole, mine = histories(train), histories(kept.interactions)
    assert (kept.inductive, kept.synthetic, len(kept), len(mine)) == (True, False, 139, 18)  # 17 times 8 items, and 3
    assert all(one in whole for one in mine[:-1])
    assert any(mine[-1] < one for one in whole)
    assert [len(one) for one in mine] == [8] * 17 + [3]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_teacher_top_mixes_as_it_is_told(share: float, expected: int, planted_split: Split) -> None:
    pool, train = planted_pool(planted_split), planted_split.train
    condenser = TeacherTop(TeacherTopConfig(observed_share=share))
    result = condenser.condense(pool, planted_split.valid, Budget(4 * 60), RunOptions())
    assert (result.interactions.user_degree == 4).all()
    np.testing.assert_array_equal(np.bincount(result.interactions.users[result.observed], minlength=60), expected)
    for observed in (True, False):  # of each kind the teacher's best
        part = pool.interactions.take(pool.observed == observed)
        rank = rank_within_user(part, pool.score[pool.observed == observed])
        kept = result.interactions.contains(part)
        assert (rank[kept] < 4).all()
    assert train.contains(result.interactions).sum() == 60 * expected


def test_teacher_top_fills_up_where_one_kind_runs_short(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    condenser = TeacherTop(TeacherTopConfig(observed_share=1.0))
    result = condenser.condense(pool, planted_split.valid, Budget(10 * 60), RunOptions())
    assert len(result) == 600
    assert (np.bincount(result.interactions.users[result.observed], minlength=60) == 8).all()


def test_random_users_draws_users_with_a_history_once_and_by_chance(planted_split: Split) -> None:
    train = planted_split.train
    active = train.take(train.users >= 30)  # the others have none
    split = Split(active, planted_split.valid, planted_split.test)
    every = condensed("random-users", planted_pool(split), split, 1.0)
    assert every.n_users_source == 60
    assert sorted(map(sorted, histories(every.interactions))) == sorted(map(sorted, histories(active)[30:]))
    some = [histories(condensed("random-users", planted_pool(split), split, 0.5, seed).interactions) for seed in (0, 1)]
    assert some[0] != some[1]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(0, 400))
def test_quota_is_spent_fully_and_as_equally_as_it_can_be(available: list[int], budget: int) -> None:
    has = np.array(available, dtype=np.int64)
    quota = equal_quota(has, budget)
    assert quota.sum() == min(budget, has.sum())
    assert (quota <= has).all()
    wanting = quota < has  # whoever could take more has no less than anyone, but for the remainder
    if wanting.any():
        assert quota[wanting].min() >= quota.max() - 1


def test_negative_quota_is_refused() -> None:
    with pytest.raises(BudgetError, match="budget is -1"):
        equal_quota(np.array([1]), -1)


def test_rank_within_user_hand_worked() -> None:
    pairs = Interactions.of([0, 0, 0, 2], [1, 3, 4, 0], 3, 5)
    value = np.array([0.5, 0.9, 0.5, -1.0])
    assert rank_within_user(pairs, value).tolist() == [1, 0, 2, 0]


def test_best_candidates_breaks_ties_by_the_second_key_then_by_position() -> None:
    kept = best_candidates(np.array([1.0, 2.0, 1.0, 1.0]), np.array([0.0, 0.0, 5.0, 0.0]), 3)
    assert kept.tolist() == [True, True, True, False]
