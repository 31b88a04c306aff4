"""Choices within a user's history, on points whose right answer is known and against readable versions."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.geometry import CoveringConfig, Herding, KCentre
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, Interactions, Split
from tests.contracts import planted_pool

Floats = npt.NDArray[np.float32]
HERDING, K_CENTRE = Herding(CoveringConfig()), KCentre(CoveringConfig())


def kept_of(condenser: Herding | KCentre, points: npt.ArrayLike, quota: int, user: npt.ArrayLike = 1.0) -> list[int]:
    """Which of the points one user keeps, whose items lie there as the user's vector stretches them."""
    items = np.asarray(points, dtype=np.float32).reshape(len(np.asarray(points)), -1)
    train = Interactions.of(np.zeros(len(items), dtype=int), np.arange(len(items)), 1, len(items))
    users = np.full((1, items.shape[1]), user, dtype=np.float32)
    return np.flatnonzero(condenser.cover(train, users, items, np.array([quota]))).tolist()


def test_herding_keeps_clusters_in_proportion() -> None:
    """Nine points near 0 and three near 10: of four, three and one."""
    points = [*np.linspace(-0.1, 0.1, 9), 9.9, 10, 10.1]
    kept = kept_of(HERDING, points, 4)
    assert [place // 9 for place in kept] == [0, 0, 0, 1]


def test_herding_takes_the_one_nearest_to_the_mean_first() -> None:
    """The mean of 0, 1, 2, 7 is 2.5; with 2 in it, 1 would make the mean 1.5, 7 makes it 4.5."""
    assert kept_of(HERDING, [0, 1, 2, 7], 1) == [2]
    assert kept_of(HERDING, [0, 1, 2, 7], 2) == [1, 2]


def test_k_centre_reaches_every_cluster() -> None:
    points = [[x + dx, y] for x in (0, 10) for y in (0, 10) for dx in (0, 0.1, 0.2)]
    assert [place // 3 for place in kept_of(K_CENTRE, points, 4)] == [0, 1, 2, 3]


def test_k_centre_hand_worked() -> None:
    """The mean of 0, 1, 2, 10 is 3.25: first 2, then 10, which is 8 away, then 0, which is 2 away and 1 only 1."""
    assert kept_of(K_CENTRE, [0, 1, 2, 10], 1) == [2]
    assert kept_of(K_CENTRE, [0, 1, 2, 10], 2) == [2, 3]
    assert kept_of(K_CENTRE, [0, 1, 2, 10], 3) == [0, 2, 3]


@pytest.mark.parametrize("condenser", [HERDING, K_CENTRE], ids=["herding", "k-centre"])
def test_points_that_coincide_are_still_chosen_once_each(condenser: Herding | KCentre) -> None:
    assert len(kept_of(condenser, np.ones(5), 3)) == 3
    assert kept_of(condenser, np.ones(5), 5) == [0, 1, 2, 3, 4]
    assert kept_of(condenser, np.ones(5), 0) == []


@pytest.mark.parametrize("condenser", [HERDING, K_CENTRE], ids=["herding", "k-centre"])
def test_an_interaction_lies_where_user_and_item_meet(condenser: Herding | KCentre) -> None:
    """To a user with nothing in the first direction, items differ in the second alone."""
    first, second = [9, -9, 9, -9, 9], [0, 1, 2, 10, 11]
    flat = kept_of(condenser, second, 3)
    assert kept_of(condenser, np.stack((first, second), axis=1), 3, [0, 1]) == flat
    assert kept_of(condenser, np.stack((first, second), axis=1), 3, [1, 1]) != flat


def herded(points: Floats, quota: int) -> set[int]:
    kept: list[int] = []
    while len(kept) < quota:
        left = [place for place in range(len(points)) if place not in kept]
        means = [points[[*kept, place]].mean(axis=0) for place in left]
        kept.append(left[int(np.argmin(np.linalg.norm(means - points.mean(axis=0), axis=1)))])
    return set(kept)


def spread(points: Floats, quota: int) -> set[int]:
    kept = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))] if quota else []
    while len(kept) < quota:
        kept.append(int(np.linalg.norm(points[:, None] - points[kept], axis=2).min(axis=1).argmax()))
    return set(kept)


@given(st.integers(0, 10_000))
def test_every_user_is_covered_as_by_the_readable_version(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(5 * 12, size=35, replace=False)
    train = Interactions.of(cells // 12, cells % 12, 5, 12)
    users, items = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(12, 3)).astype(np.float32)
    quota = rng.integers(0, train.user_degree + 1)
    for condenser, oracle in ((HERDING, herded), (K_CENTRE, spread)):
        kept = condenser.cover(train, users, items, quota)
        for user in range(5):
            mine = slice(train.indptr[user], train.indptr[user + 1])
            points = users[user] * items[train.items[mine]]
            assert set(np.flatnonzero(kept[mine]).tolist()) == oracle(points, int(quota[user]))


@pytest.mark.parametrize("kind", [Herding, KCentre])
def test_users_share_the_budget_equally(kind: type[Herding | KCentre], planted_split: Split) -> None:
    condenser = kind(CoveringConfig(proxy_epochs=3, proxy_size=4))
    result = condenser.condense(planted_pool(planted_split), planted_split.valid, Budget(150), RunOptions())
    assert sorted(result.interactions.user_degree) == [2] * 30 + [3] * 30
    assert result.observed.all()
