"""The match against gradients that torch takes, against all drawn sets, and against the best of all sets."""

from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import softplus

from dconrec_core.condensation.gradient_matching import (
    GradientMatching,
    GradientMatchingConfig,
    Snapshot,
    on_budget,
)
from dconrec_core.models.bprmf import BPRMFConfig, Factors
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Budget, Interactions, Split
from tests.contracts import planted_pool

QUICK = {"proxy_epochs": 6, "proxy_size": 8, "snapshots": 2}


def snapshot(seed: int = 0, n: int = 9) -> Snapshot:
    """Of random tables: gradients of every size and direction."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(5 * 6, size=n, replace=False)
    train = Interactions.of(cells // 6, cells % 6, 5, 6)
    factors = Factors(train, BPRMFConfig(embedding_size=3), rng)
    factors.users, factors.items = rng.normal(size=(5, 3)).astype("f4"), rng.normal(size=(6, 3)).astype("f4")
    return Snapshot(factors, ((train.items + rng.integers(1, 6, size=n)) % 6).astype(np.int32))


def gradients(of: Snapshot) -> npt.NDArray[np.float64]:
    """Every interaction's gradient with respect to both tables, ``[n, (5 + 6) * 3]``, by torch."""
    rows = []
    for user, item, negative in zip(*of.triplets, strict=True):
        users, items = (torch.tensor(table, dtype=torch.float64, requires_grad=True) for table in of.tables)
        softplus(-users[user] @ (items[item] - items[negative])).backward()
        rows.append(torch.cat((users.grad, items.grad)).numpy().ravel())
    return np.stack(rows)


def missed(of: Snapshot, kept: npt.ArrayLike, share: float) -> npt.NDArray[np.float64]:
    """How far sets ``[..., n]`` of 0 and 1 miss the full gradient, in the snapshot's units."""
    every = gradients(of)
    scale = np.square(every).sum(axis=1).mean()
    return np.asarray(np.square((np.asarray(kept) - share) @ every).sum(axis=-1) / scale)


def test_mismatch_is_the_mean_over_all_sets_that_can_be_drawn() -> None:
    of, keep_prob = snapshot(), np.random.default_rng(1).random(9)
    masks = np.array(list(product([0, 1], repeat=9)))
    probability = np.where(masks, keep_prob, 1 - keep_prob).prod(axis=1)
    value, _ = of.mismatch(keep_prob, 0.3)
    assert value == pytest.approx(probability @ missed(of, masks, 0.3), rel=1e-5)


def test_slope_is_the_derivative() -> None:
    of, keep_prob = snapshot(), np.random.default_rng(1).random(9)
    _, slope = of.mismatch(keep_prob, 0.3)
    every = gradients(of)
    squares = np.square(every).sum(axis=1)
    expected = 2 * every @ ((keep_prob - 0.3) @ every) + (1 - 2 * keep_prob) * squares
    assert slope == pytest.approx(expected / squares.mean(), rel=1e-4, abs=1e-5)


def test_uniform_draws_miss_by_their_variance_alone_and_everything_misses_nothing() -> None:
    of = snapshot()
    assert of.mismatch(np.full(9, 0.25), 0.25)[0] == pytest.approx(9 * 0.25 * 0.75, rel=1e-5)
    assert of.mismatch(np.ones(9), 1.0)[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_finds_one_of_the_best_of_all_sets(seed: int) -> None:
    of = snapshot(seed, n=12)
    keep_prob = GradientMatching(GradientMatchingConfig()).match([of], 12, 4, np.random.default_rng(0), RunOptions())
    mine = missed(of, np.isin(np.arange(12), np.argsort(-keep_prob)[:4]), 4 / 12)
    every = np.array([np.isin(np.arange(12), best) for best in combinations(range(12), 4)])
    assert (missed(of, every, 4 / 12) < mine).mean() < 0.1


def test_search_lowers_the_mismatch_within_the_budget(planted_split: Split) -> None:
    heard: list[EpochEvent] = []
    condenser = GradientMatching(GradientMatchingConfig(**QUICK))
    options = RunOptions(on_epoch=heard.append)
    result = condenser.condense(planted_pool(planted_split), planted_split.valid, Budget(120), options)
    told = [event.metrics["mismatch"] for event in heard if "mismatch" in event.metrics]
    assert len(told) == 60
    assert told[0] == pytest.approx(1, rel=0.02)
    assert told[-1] < 0.6
    assert result.keep_prob.sum() <= 120 + 1e-3
    assert result.keep_prob.mean() > 0.5
    assert result.observed.all()


def test_without_steps_it_is_a_random_draw(planted_split: Split) -> None:
    condenser = GradientMatching(GradientMatchingConfig(steps=0, **QUICK))
    result = condenser.condense(planted_pool(planted_split), planted_split.valid, Budget(120), RunOptions())
    assert len(result) == 120
    assert (abs(result.keep_prob - 0.25) < 0.03).all()


@pytest.mark.parametrize(("epochs", "wanted", "expected"), [(6, 2, 2), (5, 3, 3), (2, 5, 2), (4, 1, 1)])
def test_snapshots_are_as_many_as_asked_for_or_as_there_are_epochs(
    epochs: int, wanted: int, expected: int, planted_split: Split
) -> None:
    config = GradientMatchingConfig(proxy_epochs=epochs, proxy_size=4, snapshots=wanted)
    taken = GradientMatching(config).snapshots(planted_split.train, np.random.default_rng(0), RunOptions())
    assert len(taken) == expected
    tables = {one.tables[0].tobytes() for one in taken}
    assert len(tables) == expected  # copies, each of another moment


@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_budget_is_spent_whether_steps_went_up_or_down(count: int) -> None:
    for moved in ([0.9, -0.3, 2.0, 0.1, 0.4], [-1.0, -2.0, -1.5, -0.9, -1.1]):
        keep_prob = on_budget(np.array(moved), count)
        assert keep_prob.sum() == pytest.approx(count)
        assert (np.diff(keep_prob[np.argsort(moved)]) >= 0).all()
    np.testing.assert_allclose(on_budget(np.array([-1.0, -0.8, -3.0]), 1), [0.4, 0.6, 0])
