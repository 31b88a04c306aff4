"""What is feasible, and how to step in it: any pool, any tail, any budget that holds the tail."""

from collections import Counter
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dconrec_core.condensation.base import rank_within_user
from dconrec_core.condensation.feasible_set import AdamStep, FeasibleSet, NaturalStep
from dconrec_core.errors import BudgetError
from dconrec_core.types import BoolArray, Budget, CandidatePool, Interactions, Split
from tests.contracts import planted_pool

Start = Literal["teacher", "constant"]
starts = st.sampled_from(["teacher", "constant"])


@st.composite
def pools(draw: st.DrawFn) -> CandidatePool:
    """Small, with tied scores and uneven users."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    size = draw(st.integers(1, 48))
    cells = np.sort(rng.choice(48, size=size, replace=False))
    return CandidatePool(
        Interactions.of(cells // 8, cells % 8, 6, 8),
        rng.random(size) < 0.6,
        rng.integers(-2, 3, size=size).astype(np.float32),
    )


@st.composite
def feasible_sets(draw: st.DrawFn) -> FeasibleSet:
    """A pool, a tail threshold, and a budget no smaller than the tail."""
    pool, threshold = draw(pools()), draw(st.integers(0, 3))
    held = int(tail_of(pool, threshold).sum())
    return FeasibleSet(pool, threshold, Budget(draw(st.integers(max(held, 1), max(held, 1) + 60))))


def tail_of(pool: CandidatePool, threshold: int) -> BoolArray:
    """Readable version: the observed interactions of users who have at most ``threshold`` of them."""
    users = pool.interactions.users.tolist()
    degree = Counter(user for user, seen in zip(users, pool.observed, strict=True) if seen)
    return np.array([seen and degree[user] <= threshold for user, seen in zip(users, pool.observed, strict=True)])


@given(feasible_sets(), st.integers(0, 1000))
def test_whatever_a_step_proposes_is_brought_back_to_the_feasible_set(feasible: FeasibleSet, seed: int) -> None:
    proposed = np.random.default_rng(seed).normal(0.5, 2, size=len(feasible.pool))
    projected = feasible.project(proposed)
    assert projected.min() >= 0
    assert projected.max() <= 1
    assert (projected[feasible.tail] == 1).all()
    assert projected.sum() <= feasible.count + 1e-9
    np.testing.assert_allclose(feasible.project(projected), projected, atol=1e-9)


@given(feasible_sets(), starts)
def test_start_is_feasible_and_keeps_the_tail(feasible: FeasibleSet, by: Start) -> None:
    start = feasible.start(by, sharpness=4)
    np.testing.assert_allclose(feasible.project(start), start, atol=1e-9)
    assert (start[feasible.tail] == 1).all()


@given(feasible_sets())
def test_constant_start_is_one_number_and_spends_the_budget(feasible: FeasibleSet) -> None:
    start = feasible.start("constant", sharpness=4)
    assert len(set(start[feasible.free].round(12))) <= 1
    assert start.sum() == pytest.approx(feasible.count)


@given(feasible_sets(), st.floats(0.5, 20))
def test_teacher_start_falls_with_the_teachers_rank(feasible: FeasibleSet, sharpness: float) -> None:
    start = feasible.start("teacher", sharpness)
    place = rank_within_user(feasible.pool.interactions, feasible.pool.score)
    users = feasible.pool.interactions.users
    for user in range(6):
        mine = np.flatnonzero((users == user) & ~feasible.tail)
        assert (np.diff(start[mine[np.argsort(place[mine])]]) <= 1e-12).all()


def test_teacher_start_expects_the_same_number_of_every_user(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    start = FeasibleSet(pool, 0, Budget(240)).start("teacher", sharpness=4)
    expected = np.bincount(pool.interactions.users, weights=start)
    np.testing.assert_allclose(expected, 4, atol=0.1)
    place = rank_within_user(pool.interactions, pool.score)
    inside, outside = start[place == 3], start[place == 4]  # one half lies between the last that fits and the next
    assert inside.min() > 0.5 > outside.max()
    np.testing.assert_allclose(inside + outside, 1, atol=0.05)


def test_teacher_start_shares_what_the_tail_leaves_among_what_it_leaves(planted_split: Split) -> None:
    """Ten users with two observed interactions and five pseudo ones; fifty with eight and five."""
    train = planted_split.train
    short = train.take((train.users >= 10) | (np.arange(len(train)) - train.indptr[train.users] < 2))
    pool = planted_pool(Split(short, planted_split.valid, planted_split.test))
    feasible = FeasibleSet(pool, 2, Budget(10 * 2 + 10 * 5 + 50 * 9))
    free = ~feasible.tail
    start = feasible.start("teacher", sharpness=60)
    expected = np.bincount(pool.interactions.users[free], weights=start[free])
    np.testing.assert_allclose(expected, [5] * 10 + [9] * 50, atol=0.1)


@pytest.mark.parametrize("count", [60, 300, 600, 780])
def test_teacher_start_spends_the_budget(count: int, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    assert len(pool) == 780
    assert FeasibleSet(pool, 0, Budget(count)).start("teacher", sharpness=4).sum() == pytest.approx(count)


@given(feasible_sets(), st.integers(0, 1000))
def test_final_set_has_the_exact_size_and_the_most_probable(feasible: FeasibleSet, seed: int) -> None:
    keep_prob = feasible.project(np.random.default_rng(seed).integers(0, 4, size=len(feasible.pool)) / 4)
    kept = feasible.final_set(keep_prob)
    assert kept.sum() == feasible.count
    if kept.all():
        return
    assert keep_prob[kept].min() >= keep_prob[~kept].max()
    edge = keep_prob == keep_prob[kept].min()  # among equals the teacher decides
    if (edge & ~kept).any():
        assert feasible.pool.score[edge & kept].min() >= feasible.pool.score[edge & ~kept].max()


@given(feasible_sets())
def test_final_set_holds_the_tail_before_the_merely_probable(feasible: FeasibleSet) -> None:
    start = feasible.start("teacher", sharpness=4)
    certain = start[feasible.free] >= 1
    assume(not certain.any())
    assert (feasible.final_set(start) | ~feasible.tail).all()


@given(pools(), st.integers(0, 9))
def test_tail_is_held_inside_the_budget(pool: CandidatePool, threshold: int) -> None:
    feasible = FeasibleSet(pool, threshold, Budget(len(pool)))
    np.testing.assert_array_equal(feasible.tail, tail_of(pool, threshold))
    assert feasible.left + feasible.tail.sum() == feasible.count == len(pool)


@given(pools(), st.integers(1, 5))
def test_budget_below_the_tail_is_refused(pool: CandidatePool, less: int) -> None:
    held = int(pool.observed.sum())
    assume(held > less)
    with pytest.raises(BudgetError, match=f"hold {held}, the budget is {held - less}; lower"):
        FeasibleSet(pool, 8, Budget(held - less))


def walk(stepper: NaturalStep | AdamStep, rate: float) -> npt.NDArray[np.float64]:
    """Steps down the gradient of cost @ keep_prob, for a good, a neutral and a bad candidate."""
    keep_prob, cost = np.full(3, 0.5), np.array([-1.0, 0.0, 1.0])
    for _ in range(50):
        keep_prob = (keep_prob - rate * stepper.direction(cost, keep_prob)).clip(0, 1)
    return keep_prob


def test_steps_keep_what_lowers_the_loss_and_drop_what_raises_it() -> None:
    np.testing.assert_allclose(walk(NaturalStep(), 0.2), [1, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(walk(AdamStep(3), 0.05), [1, 0.5, 0], atol=1e-3)


def test_adam_step_is_torchs_direction() -> None:
    rng = np.random.default_rng(0)
    parameter = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer, stepper, moved = torch.optim.Adam([parameter], lr=0.1), AdamStep(4), np.zeros(4)
    for _ in range(10):
        gradient = rng.normal(size=4)
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        moved -= 0.1 * stepper.direction(gradient, np.full(4, 0.5))
    np.testing.assert_allclose(moved, parameter.detach().numpy(), atol=1e-7)


def test_natural_step_undoes_the_variance_of_the_score_function() -> None:
    """(m − s) / (s (1 − s)) explodes next to 0 and 1; what the natural step makes of it never leaves ±1."""
    keep_prob = np.array([1e-5, 0.3, 1 - 1e-5])
    for mask in (0.0, 1.0):
        score = (mask - keep_prob) / (keep_prob * (1 - keep_prob))
        np.testing.assert_allclose(NaturalStep().direction(score, keep_prob), mask - keep_prob)
