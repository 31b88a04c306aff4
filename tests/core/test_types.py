"""The types check themselves: what exists is valid."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.errors import BudgetError, DataError
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split

ids = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), unique=True, max_size=40)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def train(n: int = 100) -> Interactions:
    return Interactions.of(np.arange(n), np.zeros(n), n, 1)


@given(ids)
def test_any_order_becomes_the_one_order(pairs: list[tuple[int, int]]) -> None:
    users, items = [u for u, _ in pairs], [i for _, i in pairs]
    interactions = Interactions.of(users, items, 7, 9)
    assert list(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True)) == sorted(pairs)
    assert interactions.csr().shape == (7, 9)
    assert interactions.csr().sum() == len(pairs)
    for user in range(7):
        row = interactions.items[interactions.indptr[user] : interactions.indptr[user + 1]]
        assert row.tolist() == sorted(i for u, i in pairs if u == user)


@given(ids, ids)
def test_contains_is_membership(pairs: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    here, there = (Interactions.of([u for u, _ in p], [i for _, i in p], 7, 9) for p in (pairs, asked))
    expected = [pair in set(pairs) for pair in sorted(asked)]
    assert here.contains(there).tolist() == expected


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        (ints(0, 1), ints(0), "2 users but 1 items"),
        (ints(0, 5), ints(0, 0), r"user ids span 0\.\.5, the catalogue is 0\.\.2"),
        (ints(0, 1), ints(-1, 0), r"item ids span -1\.\.0, the catalogue is 0\.\.3"),
        (ints(1, 0), ints(0, 0), "sorted by user, then item; use Interactions.of"),
        (ints(1, 1), ints(2, 2), "user 1 has item 2 more than once"),
        (np.array([0.0, 1.0]), ints(0, 1), "user ids are float64, expected int32"),
    ],
)
def test_impossible_interactions(users: np.ndarray, items: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Interactions(users, items, 3, 4)


def test_duplicates_are_never_dropped_in_silence() -> None:
    with pytest.raises(DataError, match="user 0 has item 1 more than once; keep each pair once"):
        Interactions.of([0, 0, 0], [1, 0, 1], 1, 2)
    with pytest.raises(DataError, match="2 users but 1 items"):
        Interactions.of([0, 0], [1], 1, 2)


@pytest.mark.parametrize("ids", [[2**32], [2**31], [-(2**32)], [0.7], [np.nan]])
def test_ids_that_int32_cannot_hold_are_refused_and_never_become_others(ids: list[float]) -> None:
    with pytest.raises(DataError, match="user ids"):
        Interactions.of(np.array(ids), [0], 1, 1)
    with pytest.raises(DataError, match="item ids"):
        Interactions.of([0], np.array(ids), 1, 1)


def test_fingerprint_depends_on_pairs_and_catalogue() -> None:
    one = Interactions.of([0, 1], [1, 0], 2, 2)
    assert one.fingerprint() == Interactions.of([1, 0], [0, 1], 2, 2).fingerprint()
    others = (Interactions.of([0, 1], [1, 1], 2, 2), Interactions.of([0, 1], [1, 0], 2, 3), one.take(ints(0)))
    assert len({one.fingerprint(), *(other.fingerprint() for other in others)}) == 4


def test_parts_of_a_split_are_disjoint_and_of_one_catalogue() -> None:
    one, other = Interactions.of([0], [0], 1, 3), Interactions.of([0], [1], 1, 3)
    last = Interactions.of([0], [2], 1, 3)
    assert len(Split(one, other, last).test) == 1
    for parts, message in (
        ((one, one, other), "train and valid share 1 interactions"),
        ((one, other, one), "train and test share 1 interactions"),
        ((other, one, one), "valid and test share 1 interactions"),
    ):
        with pytest.raises(DataError, match=message):
            Split(*parts)
    with pytest.raises(DataError, match="train and valid have different catalogues"):
        Split(one, Interactions.of([0], [1], 1, 4), last)


@pytest.mark.parametrize(("ratio", "expected"), [(0.25, 25), (0.29, 29), (1, 100), (0.019, 1), (0.999, 99)])
def test_budget_is_rounded_down_and_binary_fractions_do_not_cost_one(ratio: float, expected: int) -> None:
    assert Budget.from_ratio(ratio, train()).n_interactions == expected


@given(percent=st.integers(1, 100), n=st.integers(100, 2_000_000_000))
def test_a_budget_of_whole_percents_is_that_of_whole_numbers(percent: int, n: int) -> None:
    assert Budget.from_ratio(percent / 100, cast(Interactions, range(n))).n_interactions == percent * n // 100


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, float("nan")])
def test_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(BudgetError, match=r"condense.ratio is .*; it must be above 0 and at most 1"):
        Budget.from_ratio(ratio, train())


def test_ratio_that_leaves_nothing_names_the_smallest_that_does_not() -> None:
    with pytest.raises(BudgetError, match=r"a budget of 0 of 100 training interactions; the smallest .* is 0\.01"):
        Budget.from_ratio(0.005, train())
    with pytest.raises(BudgetError, match="must be at least 1"):
        Budget(0)
    with pytest.raises(BudgetError, match=r"no training interactions .* split\.train"):
        Budget.from_ratio(0.5, Interactions.of([], [], 3, 3))


@given(n=st.integers(2, 100_000_000))
def test_ratio_that_the_message_names_does(n: int) -> None:
    some = cast(Interactions, range(n))  # all that is asked of them is how many they are
    with pytest.raises(BudgetError) as told:
        Budget.from_ratio(0.5 / n, some)
    assert Budget.from_ratio(float(str(told.value).rsplit(" ", 1)[1]), some).n_interactions >= 1


def condensed(n: int, budget: int, **changes: object) -> CondensedDataset:
    settings = {
        "interactions": train().take(np.arange(n)),
        "observed": np.ones(n, dtype=bool),
        "keep_prob": np.ones(n, dtype=np.float32),
        "n_users_source": 100,
        **changes,
    }
    return CondensedDataset(
        budget=Budget(budget), condenser="random", config={}, seed=0, source="", n_source=100,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def test_over_budget_cannot_exist() -> None:
    assert condensed(10, 10).ratio == 0.1
    with pytest.raises(BudgetError, match=r"has 11 interactions, its budget is 10 \(ratio 0.1 of 100"):
        condensed(11, 10)


def test_condensed_columns_must_fit() -> None:
    with pytest.raises(DataError, match="2 pairs, 3 origins, 2 probabilities"):
        condensed(2, 10, observed=np.ones(3, dtype=bool))
    with pytest.raises(DataError, match=r"keep_prob spans 1\.0\.\.2\.0"):
        condensed(2, 10, keep_prob=np.array([1, 2], dtype=np.float32))


def test_users_are_those_of_the_source_or_a_user_base_of_their_own() -> None:
    nobody, own = np.zeros(3, dtype=bool), Interactions.of([0, 0, 1], [3, 5, 3], 2, 100)
    kinds = {
        (False, False): condensed(3, 3),
        (True, False): condensed(3, 3, interactions=own, inductive=True),
        (True, True): condensed(3, 3, interactions=own, inductive=True, observed=nobody),
    }
    assert {(made.inductive, made.synthetic) for made in kinds.values()} == kinds.keys()
    with pytest.raises(DataError, match="has 2 users, its source 100; a set over users of its own is inductive"):
        condensed(3, 3, interactions=own)
    mixed = np.array([True, False, False])
    with pytest.raises(DataError, match=r"1 of 3 pairs of the inductive set are observed; .* or all made up"):
        condensed(3, 3, interactions=own, inductive=True, observed=mixed)
    absent = Interactions.of([0, 0, 2], [3, 5, 3], 3, 100)
    with pytest.raises(DataError, match="user 1 of 3 in the inductive set has no interaction; leave such users out"):
        condensed(3, 3, interactions=absent, inductive=True)


def test_pool_columns_must_fit_and_scores_be_finite() -> None:
    pairs = train(2)
    with pytest.raises(DataError, match="2 interactions, 1 origins and 2 scores"):
        CandidatePool(pairs, np.ones(1, dtype=bool), np.ones(2, dtype=np.float32))
    with pytest.raises(DataError, match="1 candidates have a teacher score that is not finite"):
        CandidatePool(pairs, np.ones(2, dtype=bool), np.array([1, np.nan], dtype=np.float32))
    pool = CandidatePool(pairs, np.array([True, False]), np.ones(2, dtype=np.float32))
    assert len(pool) == 2
    assert pool.train.users.tolist() == [0]
