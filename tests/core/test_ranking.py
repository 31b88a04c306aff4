"""Rankings against a stable sort, from scores and by way of approximate products."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core import by_length, ranking
from dconrec_core.ranking import DotProducts, top_items
from dconrec_core.top_k import top_k
from dconrec_core.types import Interactions
from tests.core.test_kernels import small


@given(st.integers(0, 1000), st.integers(0, 12))
def test_top_k_is_a_stable_sort_of_the_unseen(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    seen = small(seed)
    scores = rng.integers(0, 4, size=(seen.n_users, seen.n_items)).astype(np.float32)  # many ties
    users = rng.permutation(seen.n_users).astype(np.int32)
    got = top_k(scores[users], seen.indptr, seen.items, users, k)
    for row, user in enumerate(users):
        unseen = np.setdiff1d(np.arange(seen.n_items), seen.items[seen.users == user])
        expected = unseen[np.argsort(-scores[user, unseen], kind="stable")][:k]
        assert got[row, : len(expected)].tolist() == expected.tolist()
        assert (got[row, len(expected) :] == -1).all()


@given(st.integers(0, 1000), st.integers(1, 900), st.integers(1, 400), st.sampled_from([2, 1000]))
def test_top_k_of_any_size_with_infinite_scores_and_none(seed: int, n_items: int, k: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, distinct, size=(1, n_items)).astype(np.float32)
    for value in (np.inf, -np.inf, np.nan):
        scores[0, rng.random(n_items) < rng.choice([0, 0.1, 0.9])] = value
    seen = np.flatnonzero(rng.random(n_items) < 0.3).astype(np.int32)
    got = top_k(scores, np.array([0, len(seen)]), seen, np.zeros(1, dtype=np.int32), k)
    there = np.setdiff1d(np.flatnonzero(~np.isnan(scores[0])), seen)
    expected = there[np.argsort(-scores[0, there], kind="stable")][:k]
    assert got[0].tolist() == [*expected.tolist(), *[-1] * (k - len(expected))]


def sorted_products(users: np.ndarray, items: np.ndarray, seen: Interactions, k: int) -> np.ndarray:
    """The oracle: a stable sort of the products in double precision."""
    ranked = np.full((len(users), k), -1)
    for user in range(len(users)):
        unseen = np.setdiff1d(np.arange(len(items)), seen.items[seen.users == user])
        scores = items[unseen].astype(np.float64) @ users[user].astype(np.float64)
        best = unseen[np.argsort(-scores, kind="stable")][:k]
        ranked[user, : len(best)] = best
    return ranked


@given(st.integers(0, 1000), st.sampled_from([3, 40, 300, 1500]), st.integers(0, 60), st.sampled_from([1e-3, 1, 2**13]))
def test_products_rounded_and_refined_rank_as_exact_ones(seed: int, n_items: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    # Small integers: products are exact in single precision, many are equal, and bfloat16 rounds most of them.
    users = (rng.integers(-90, 90, (6, 8)) * scale).astype(np.float32)
    items = rng.integers(-90, 90, (n_items, 8)).astype(np.float32)
    items[rng.random(n_items) < 0.1] = items[0]
    seen = small(seed, n_users=6, n_items=n_items, n=min(2 * n_items, 200))
    products = DotProducts(users, items)
    got = products.top_filtered(seen, np.arange(6, dtype=np.int32), k)
    exact = sorted_products(users, items, seen, k)
    if scale != 1e-3:
        assert np.array_equal(got, exact)
        return
    scores = np.where(got >= 0, np.take_along_axis(products(np.arange(6, dtype=np.int32)), got.clip(0), 1), 0)
    best = np.where(exact >= 0, np.take_along_axis(products(np.arange(6, dtype=np.int32)), exact.clip(0), 1), 0)
    np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000), st.sampled_from([1, 3, 40, 700]), st.integers(1, 60), st.sampled_from([16, 512]))
def test_from_the_longest_item_down_is_the_ranking_of_all(seed: int, n_items: int, k: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    # Powers of two make lengths that differ much, and products that are exact; some users and items are nothing.
    users, items = (rng.integers(-90, 90, (n, 8)).astype(np.float32) for n in (7, n_items))
    items *= 2.0 ** rng.integers(-8, 1, (n_items, 1), dtype=np.int8)
    items[rng.random(n_items) < 0.1] = items[0]
    items[rng.random(n_items) < 0.1], users[0] = 0, 0
    seen = small(seed, n_users=7, n_items=n_items, n=min(2 * n_items, 200))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_length, "BLOCK", block)
        got = DotProducts(users, items).top_by_length(seen, np.arange(7, dtype=np.int32), k)
    assert np.array_equal(got, sorted_products(users, items, seen, k))


def test_of_skewed_lengths_few_products_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((50, 16), dtype=np.float32), rng.standard_normal((6000, 16), dtype=np.float32)
    items *= (1 + np.arange(6000, dtype=np.float32)[:, None]) ** -0.7
    blocks, merge = [], by_length._merge
    monkeypatch.setattr(by_length, "_merge", lambda *given: blocks.append(given[0].shape) or merge(*given))
    none = Interactions.of([], [], 50, 6000)
    monkeypatch.setattr(ranking, "_multiplies_bfloat16", lambda: False)
    top_items(DotProducts(users, items), none, np.arange(50, dtype=np.int32), 10)
    assert sum(height * width for height, width in blocks) < 50 * 6000 / 4


def test_scores_so_close_that_bfloat16_cannot_tell_them_apart_are_ordered() -> None:
    users = np.ones((1, 1), dtype=np.float32)
    items = (1 + np.arange(500, dtype=np.float32) / 100_000)[:, None]
    none = Interactions.of([], [], 1, 500)
    assert DotProducts(users, items).top_filtered(none, np.zeros(1, dtype=np.int32), 5).tolist() == [
        [499, 498, 497, 496, 495]
    ]
    assert DotProducts(-users, items).top_filtered(none, np.zeros(1, dtype=np.int32), 5).tolist() == [[0, 1, 2, 3, 4]]


def test_factors_that_bfloat16_rounds_as_far_as_it_can_are_ranked_by_their_exact_products() -> None:
    """Just below and just above the middle between two of its numbers: by 2⁻⁸ of themselves, one down and one up."""
    below, above = 1 + 2**-8 - 1e-6, 1 + 2**-8 + 1e-6
    users = np.array([[below, above, 0.25]], dtype=np.float32)
    best, second, others = [below, -above, 0.008], [-below, above, 0.0], [[-1.0, -1.0, 0.0]] * 600
    items = np.array([best, second, *others], dtype=np.float32)
    none = Interactions.of([], [], 1, len(items))
    assert DotProducts(users, items).top_filtered(none, np.zeros(1, dtype=np.int32), 1).tolist() == [[0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_what_bfloat16_cannot_bound_is_ranked_by_scores(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(ranking, "_multiplies_bfloat16", lambda: True)
    items = np.ones((4, 2), dtype=np.float32)
    assert DotProducts(items, items).is_filtered
    items[1, 0] = value
    products = DotProducts(items, items)
    assert not products.is_filtered
    none = Interactions.of([], [], 4, 4)
    with np.errstate(all="ignore"):
        best = top_items(products, none, np.zeros(1, dtype=np.int32), 4)[0].tolist()
    assert best == ([0, 2, 3, -1] if np.isnan(value) else [1, 0, 2, 3])


def test_both_ways_rank_a_trained_catalogue_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 32), dtype=np.float32) for n in (50, 2000))
    seen = small(0, n_users=50, n_items=2000, n=5000)
    ranked = []
    for fast in (True, False):
        monkeypatch.setattr(ranking, "_multiplies_bfloat16", lambda fast=fast: fast)
        ranked.append(top_items(DotProducts(users, items), seen, np.arange(50, dtype=np.int32), 20))
    assert np.array_equal(*ranked)
