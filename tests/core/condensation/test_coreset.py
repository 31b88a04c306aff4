"""Coresets by degree and place in the graph: hand-worked graphs, naive oracles, a planted dense block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.coreset import graph_cores, page_rank
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split
from tests.contracts import condensed, planted_pool


def pool_of(train: Interactions) -> CandidatePool:
    """Observed interactions and nothing else."""
    return CandidatePool(train, np.ones(len(train), dtype=bool), np.zeros(len(train), dtype=np.float32))


def chosen(name: str, train: Interactions, count: int, seed: int = 0) -> CondensedDataset:
    condenser = CONDENSERS[name].build(CONDENSERS[name].config_class())
    return condenser.condense(pool_of(train), train.take([]), Budget(count), RunOptions(seed=seed, device="cpu"))


def random_graph(seed: int, n_users: int = 9, n_items: int = 7, most: int = 45) -> Interactions:
    rng = np.random.default_rng(seed)
    cells = rng.choice(n_users * n_items, size=rng.integers(1, most), replace=False)
    return Interactions.of(cells // n_items, cells % n_items, n_users, n_items)


def test_random_per_user_takes_the_same_number_from_each(planted_split: Split) -> None:
    kept = condensed("random-per-user", planted_pool(planted_split), planted_split, 0.4)
    degree = kept.interactions.user_degree
    assert kept.observed.all()
    assert set(degree) == {3, 4}  # 192 over 60 users
    other = condensed("random-per-user", planted_pool(planted_split), planted_split, 0.4, seed=1)
    np.testing.assert_array_equal(degree, other.interactions.user_degree)
    assert kept.interactions.fingerprint() != other.interactions.fingerprint()


def test_random_per_user_gives_on_what_a_user_does_not_have() -> None:
    train = Interactions.of([0, *[1] * 6, *[2] * 6], [0, *range(6), *range(6)], 4, 6)
    assert chosen("random-per-user", train, 9).interactions.user_degree.tolist() == [1, 4, 4, 0]


def test_random_per_user_draws_each_of_a_users_items_alike() -> None:
    train = Interactions.of([*[0] * 2, *[1] * 8], [0, 1, *range(8)], 2, 8)
    times = sum(chosen("random-per-user", train, 4, seed).interactions.csr().toarray() for seed in range(400))
    assert (times[0, :2] == 400).all()
    assert (abs(times[1] - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5).all()


def test_cores_hand_worked() -> None:
    """Three users who share three items, a fourth who hangs on one of them, an item that hangs on the fourth."""
    users, items = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 3]
    user_core, item_core = graph_cores(Interactions.of(users, items, 5, 5))
    assert user_core.tolist() == [3, 3, 3, 1, 0]
    assert item_core.tolist() == [3, 3, 3, 1, 0]


@given(st.integers(0, 10_000))
def test_a_core_number_is_the_largest_k_whose_core_holds_the_node(seed: int) -> None:
    train = random_graph(seed)
    table = train.csr().toarray() > 0
    expected = np.zeros(9, dtype=int), np.zeros(7, dtype=int)
    for k in range(1, 10):
        left = table.copy()
        for _ in range(9 + 7):
            left[left.sum(axis=1) < k] = False
            left[:, left.sum(axis=0) < k] = False
        expected[0][left.any(axis=1)] = k
        expected[1][left.any(axis=0)] = k
    user_core, item_core = graph_cores(train)
    np.testing.assert_array_equal(user_core, expected[0])
    np.testing.assert_array_equal(item_core, expected[1])


def test_page_rank_of_a_star_hand_worked() -> None:
    """One item and its three users: x = 0.15/4 + 0.85 · 3y and y = 0.15/4 + 0.85 x/3, so that x = 0.133125/0.2775."""
    users, items = page_rank(Interactions.of([0, 1, 2], [1, 1, 1], 4, 2), 0.85)
    assert items == pytest.approx([0, 0.479730], abs=1e-6)
    assert users == pytest.approx([0.173423, 0.173423, 0.173423, 0], abs=1e-6)


@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.85, 0.97]))
def test_page_rank_solves_its_equation(seed: int, damping: float) -> None:
    train = random_graph(seed)
    table = train.csr().toarray().astype(float)
    graph = np.block([[np.zeros((9, 9)), table], [table.T, np.zeros((7, 7))]])
    known = graph.sum(axis=0) > 0
    walk = (graph / np.maximum(graph.sum(axis=0), 1))[np.ix_(known, known)]
    expected = np.zeros(16)
    jump = np.full(known.sum(), (1 - damping) / known.sum())
    expected[known] = np.linalg.solve(np.eye(known.sum()) - damping * walk, jump)
    rank = np.concatenate(page_rank(train, damping))
    assert rank == pytest.approx(expected, abs=1e-9)
    assert rank.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["k-core", "pagerank"])
def test_a_dense_block_is_found_among_popular_items_of_stray_users(name: str) -> None:
    """Popularity alone would take item 20, which 40 users have, each of them little else."""
    rng = np.random.default_rng(0)
    block = {(user, item) for user in range(10) for item in range(10)}
    stray = {(user, 20) for user in range(10, 50)} | {(user, int(rng.integers(21, 60))) for user in range(10, 50)}
    users, items = np.array(sorted(block | stray)).T
    kept = chosen(name, Interactions.of(users, items, 50, 60), 100).interactions
    assert set(zip(kept.users.tolist(), kept.items.tolist(), strict=True)) == block


def test_equal_values_are_decided_by_chance() -> None:
    """In a complete graph every interaction is worth the same."""
    train = Interactions.of(np.repeat(np.arange(8), 8), np.tile(np.arange(8), 8), 8, 8)
    for name in ("k-core", "pagerank"):
        first, again, other = (chosen(name, train, 20, seed).interactions.fingerprint() for seed in (0, 0, 1))
        assert first == again != other
