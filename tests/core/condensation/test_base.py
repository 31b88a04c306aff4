"""What all condensers share, against versions in plain Python; the quota is in ``test_baselines``."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.base import best_candidates, make_condensed, make_synthetic, rank_within_user
from dconrec_core.condensation.baselines import BaselineConfig
from dconrec_core.errors import BudgetError, DataError
from dconrec_core.types import Budget, Interactions, Split
from tests.contracts import planted_pool

few = st.integers(-2, 2)  # so that ties are common


@given(st.lists(st.tuples(few, few), max_size=20), st.integers(0, 25))
def test_best_candidates_are_those_of_a_stable_sort(keys: list[tuple[int, int]], count: int) -> None:
    value, tie = np.array([key[0] for key in keys], dtype=float), np.array([key[1] for key in keys], dtype=float)
    places = sorted(range(len(keys)), key=lambda place: (-keys[place][0], -keys[place][1], place))
    kept = best_candidates(value, tie, count)
    assert np.flatnonzero(kept).tolist() == sorted(places[:count])


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=25), st.randoms(use_true_random=False))
def test_rank_within_user_is_the_place_in_the_users_own_sort(pairs: set[tuple[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    ordered = sorted(pairs)
    interactions = Interactions.of([u for u, _ in ordered], [i for _, i in ordered], 5, 7)
    value = {pair: random.randint(-2, 2) for pair in ordered}
    place = rank_within_user(interactions, np.array([value[pair] for pair in ordered], dtype=float))
    for pair, got in zip(ordered, place, strict=True):
        mine = sorted((other for other in ordered if other[0] == pair[0]), key=lambda other: (-value[other], other))
        assert got == mine.index(pair)


def test_condensed_dataset_keeps_what_belongs_together(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    rng = np.random.default_rng(0)
    kept, keep_prob = rng.random(len(pool)) < 0.2, rng.random(len(pool)).astype(np.float32)
    made = make_condensed(
        pool, kept, Budget(400), condenser="mine", config=BaselineConfig(), seed=3, keep_prob=keep_prob, notes={"a": 1}
    )
    expected = {
        (user, item): (seen, prob)
        for user, item, seen, prob, keep in zip(
            pool.interactions.users, pool.interactions.items, pool.observed, keep_prob, kept, strict=True
        )
        if keep
    }
    pairs = zip(made.interactions.users, made.interactions.items, strict=True)
    assert {pair: facts for pair, *facts in zip(pairs, made.observed, made.keep_prob, strict=True)} == {
        pair: list(facts) for pair, facts in expected.items()
    }
    assert (made.source, made.n_source) == (planted_split.train.fingerprint(), len(planted_split.train))
    assert (made.condenser, made.config, made.seed, made.notes) == ("mine", {}, 3, {"a": 1})
    certain = make_condensed(pool, kept, Budget(400), condenser="mine", config=BaselineConfig(), seed=3)
    assert (certain.keep_prob == 1).all()


def test_no_condenser_can_make_a_set_over_its_budget(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    kept = np.ones(len(pool), dtype=bool)
    with pytest.raises(BudgetError, match="condensed set has 780 interactions, its budget is 779"):
        make_condensed(pool, kept, Budget(779), condenser="mine", config=BaselineConfig(), seed=0)


def test_synthetic_histories_are_a_user_base_of_their_own(planted_split: Split) -> None:
    train, histories = planted_split.train, Interactions.of([0, 0, 1], [3, 39, 3], 2, 40)
    made = make_synthetic(
        histories, train, Budget(3), condenser="mine", config=BaselineConfig(), seed=3,
        keep_prob=np.array([0.25, 0.5, 1]), notes={"a": 1},
    )  # fmt: skip
    assert made.interactions is histories
    assert (made.inductive, made.synthetic, made.observed.tolist()) == (True, True, [False] * 3)
    assert made.keep_prob.tolist() == [0.25, 0.5, 1]
    assert made.keep_prob.dtype == np.float32
    assert (made.source, made.n_source, made.n_users_source) == (train.fingerprint(), len(train), 60)
    assert (made.condenser, made.config, made.seed, made.notes) == ("mine", {}, 3, {"a": 1})
    certain = make_synthetic(
        histories, train, Budget(3), condenser="mine", config=BaselineConfig(), seed=3, observed=True
    )
    assert (certain.keep_prob.tolist(), certain.observed.tolist(), certain.synthetic) == ([1] * 3, [True] * 3, False)


@pytest.mark.parametrize(
    ("histories", "error", "message"),
    [
        (Interactions.of([0, 1], [0, 0], 2, 41), DataError, "histories are over 41 items, the source has 40"),
        (Interactions.of([0, 0], [0, 1], 2, 40), DataError, "user 1 of 2 .* has no interaction"),
        (Interactions.of([0, 0, 1], [0, 1, 1], 2, 40), BudgetError, "has 3 interactions, its budget is 2"),
    ],
)
def test_synthetic_histories_that_cannot_be(
    histories: Interactions, error: type[Exception], message: str, planted_split: Split
) -> None:
    with pytest.raises(error, match=message):
        make_synthetic(histories, planted_split.train, Budget(2), condenser="mine", config=BaselineConfig(), seed=0)
