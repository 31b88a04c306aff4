"""The start: planted groups of users are found, and their logits are what they go for."""

import numpy as np

from dconrec_core.condensation.clusters import embed, groups, starting_logits
from dconrec_core.condensation.histories import Rows
from dconrec_core.types import Interactions


def planted(n_users: int = 90, n_items: int = 30) -> Interactions:
    """Three kinds of users, each with 6 of the 10 items of its kind."""
    rng = np.random.default_rng(3)
    items = [10 * (user % 3) + rng.permutation(10)[:6] for user in range(n_users)]
    return Interactions.of(np.repeat(np.arange(n_users), 6), np.concatenate(items), n_users, n_items)


def test_groups_are_the_kinds() -> None:
    points = embed(planted().csr(), 3, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    group = groups(points, 3, np.random.default_rng(4))
    kinds = np.arange(90) % 3
    assert all(len(set(group[kinds == kind])) == 1 for kind in range(3))


def test_logits_are_highest_where_the_group_goes() -> None:
    pairs = planted()
    rows = Rows(pairs.indptr, pairs.items, np.ones(len(pairs), dtype=np.float32))
    logits = starting_logits(rows, np.arange(90), 30, 3, 3, np.random.default_rng(4))
    assert abs(logits.mean()) < 1e-5
    np.testing.assert_allclose(logits.std(), 1, rtol=1e-4)
    best = np.sort(logits.argsort(axis=1)[:, -10:] // 10, axis=1)
    assert sorted(row[0] for row in best) == [0, 1, 2]
    assert (best == best[:, :1]).all()


def test_more_groups_than_kinds_and_a_rank_beyond_the_table() -> None:
    points = embed(planted(12, 30).csr(), 64, np.random.default_rng(0))
    assert points.shape == (12, 12)
    assert set(groups(points, 12, np.random.default_rng(0))) <= set(range(12))
