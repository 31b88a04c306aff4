"""Keep-probabilities: the estimate against enumeration, the projection against an exact solver."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dconrec_core.condensation.bernoulli import draw_masks, policy_gradient, project_to_budget

Floats = npt.NDArray[np.float64]
steps = arrays(np.float64, st.integers(1, 12), elements=st.floats(-2, 3, width=32))


def all_masks(n: int) -> npt.NDArray[np.bool_]:
    return np.array(list(product([False, True], repeat=n)))


def probability(masks: npt.NDArray[np.bool_], keep_prob: Floats) -> Floats:
    return np.asarray(np.where(masks, keep_prob, 1 - keep_prob).prod(axis=-1))


def exact_gradient(losses: Floats, masks: npt.NDArray[np.bool_], keep_prob: Floats) -> Floats:
    """d/ds of Σ_m p(m) L(m), by differentiating each factor of p(m): no score function in it."""
    gradient = np.zeros_like(keep_prob)
    for place in range(len(keep_prob)):
        others = np.delete(np.where(masks, keep_prob, 1 - keep_prob), place, axis=1).prod(axis=1)
        gradient[place] = (losses * others * np.where(masks[:, place], 1, -1)).sum()
    return gradient


def exact_projection(values: Floats, budget: float) -> Floats:
    """The shift is linear between the points where a coordinate reaches 0 or 1: look at each piece in turn."""
    if values.clip(0, 1).sum() <= budget:
        return values.clip(0, 1)
    points = np.unique(np.concatenate((values, values - 1, [0.0])))
    points = points[points >= 0]
    for low, high in zip(points, [*points[1:], points[-1] + 1], strict=True):
        free = (values - low > 0) & (values - high < 1) & (values - low <= 1) & (values - high >= 0)
        above = (values - high >= 1).sum()
        at_low, at_high = (values - low).clip(0, 1).sum(), (values - high).clip(0, 1).sum()
        if at_low >= budget >= at_high:
            shift = (values[free].sum() + above - budget) / free.sum() if free.any() else low
            return np.asarray((values - shift).clip(0, 1))
    raise AssertionError("no piece meets the budget")


@pytest.mark.parametrize(("n", "least"), [(1, 0.05), (4, 0.05), (10, 0.05), (6, 1e-5)])
def test_estimate_without_baseline_is_unbiased_over_all_masks(n: int, least: float) -> None:
    rng = np.random.default_rng(n)
    keep_prob, masks = rng.choice([least, 0.3, 0.6, 1 - least], size=n), all_masks(n)
    losses = rng.normal(size=len(masks))
    weights = probability(masks, keep_prob)
    estimates = [policy_gradient(losses[[k]], masks[[k]], keep_prob, baseline=False) for k in range(len(masks))]
    np.testing.assert_allclose(weights @ np.array(estimates), exact_gradient(losses, masks, keep_prob), atol=1e-10)


@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize(("n", "n_samples"), [(1, 2), (3, 2), (2, 3), (4, 2)])
def test_estimate_from_several_masks_is_unbiased_over_all_draws(n: int, n_samples: int, baseline: bool) -> None:
    rng = np.random.default_rng(10 * n + n_samples)
    keep_prob, masks = rng.uniform(0.1, 0.9, n), all_masks(n)
    losses = rng.normal(loc=5, size=len(masks))  # far from 0: a biased baseline would show
    weights = probability(masks, keep_prob)
    expected = np.zeros(n)
    for draw in product(range(len(masks)), repeat=n_samples):
        chosen = list(draw)
        estimate = policy_gradient(losses[chosen], masks[chosen], keep_prob, baseline=baseline)
        expected += weights[chosen].prod() * estimate
    np.testing.assert_allclose(expected, exact_gradient(losses, masks, keep_prob), atol=1e-10)


@pytest.mark.parametrize("baseline", [True, False])
def test_average_of_many_estimates_is_the_gradient(baseline: bool) -> None:
    """Ten candidates and the paper's four masks, drawn as the search draws them."""
    rng = np.random.default_rng(4)
    keep_prob, masks = rng.uniform(0.1, 0.9, 10), all_masks(10)
    losses = 1 + 0.3 * rng.normal(size=len(masks))
    place = 2 ** np.arange(10)[::-1]
    np.testing.assert_array_equal(masks @ place, np.arange(len(masks)))  # so a drawn mask finds its loss
    drawn = (draw_masks(keep_prob, 4, rng) for _ in range(10_000))
    estimates = np.array([policy_gradient(losses[draw @ place], draw, keep_prob, baseline=baseline) for draw in drawn])
    error = estimates.mean(axis=0) - exact_gradient(losses, masks, keep_prob)
    assert (abs(error) < 4.5 * estimates.std(axis=0) / len(estimates) ** 0.5).all()


def test_candidates_may_answer_for_losses_of_their_own() -> None:
    rng = np.random.default_rng(3)
    keep_prob, masks = rng.uniform(0.1, 0.9, 3), all_masks(3)
    losses = rng.normal(size=(len(masks), 3))
    weights = probability(masks, keep_prob)
    expected = sum(
        weights[i] * weights[j] * policy_gradient(losses[[i, j]], masks[[i, j]], keep_prob)
        for i in range(len(masks))
        for j in range(len(masks))
    )
    each = [exact_gradient(losses[:, place], masks, keep_prob)[place] for place in range(3)]
    np.testing.assert_allclose(expected, each, atol=1e-10)


def test_leave_one_out_baseline_lowers_the_variance() -> None:
    rng = np.random.default_rng(0)
    keep_prob, cost = np.full(10, 0.5), rng.normal(size=10)
    estimates: dict[bool, list[Floats]] = {True: [], False: []}
    for _ in range(400):
        masks = draw_masks(keep_prob, 4, rng)
        losses = 5 + masks @ cost
        for baseline, kept in estimates.items():
            kept.append(policy_gradient(losses, masks, keep_prob, baseline=baseline))
    assert np.var(estimates[True], axis=0).sum() < np.var(estimates[False], axis=0).sum() / 3


def test_estimate_keeps_no_memory_between_calls() -> None:
    """The reference only ever added to its gradient."""
    keep_prob = np.array([0.3, 0.6])
    masks = np.array([[True, False], [False, True]])
    first, second = (policy_gradient(np.array([1.0, 2.0]), masks, keep_prob) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_estimate_hand_worked() -> None:
    # (m - s) / (s (1 - s)) is 2 for a kept and -2 for a dropped candidate at 1/2; L - mean is -1 and 1; K - 1 is 1.
    masks = np.array([[True, False], [False, False]])
    got = policy_gradient(np.array([1.0, 3.0]), masks, np.array([0.5, 0.5]))
    np.testing.assert_allclose(got, [-1 * 2 + 1 * -2, -1 * -2 + 1 * -2])


def test_certain_candidates_carry_no_information() -> None:
    masks = np.array([[False, True, True], [False, True, False]])
    for baseline in (True, False):
        got = policy_gradient(np.array([1.0, 3.0]), masks, np.array([0.0, 1.0, 0.5]), baseline=baseline)
        np.testing.assert_array_equal(got[:2], 0)
        assert got[2] < 0  # a larger loss without it


@given(st.integers(0, 1000), st.booleans(), st.booleans())
def test_estimate_is_the_mean_of_losses_times_score_functions(seed: int, baseline: bool, per_candidate: bool) -> None:
    rng = np.random.default_rng(seed)
    keep_prob = rng.choice([0, 1e-9, 0.2, 0.7, 1], size=20)
    masks = draw_masks(keep_prob, 5, rng)
    losses = rng.normal(size=(5, 20) if per_candidate else 5)
    certain = keep_prob * (1 - keep_prob) < 1e-6
    scores = np.where(certain, 0, (masks - keep_prob) / np.where(certain, 1, keep_prob * (1 - keep_prob)))
    weights = losses - losses.mean(axis=0) if baseline else losses
    expected = ((weights if per_candidate else weights[:, None]) * scores).sum(axis=0) / (4 if baseline else 5)
    np.testing.assert_allclose(policy_gradient(losses, masks, keep_prob, baseline=baseline), expected, atol=1e-12)


def test_masks_follow_their_probabilities() -> None:
    keep_prob = np.array([0.0, 0.25, 0.75, 1.0])
    shares = draw_masks(keep_prob, 20_000, np.random.default_rng(0)).mean(axis=0)
    np.testing.assert_allclose(shares, keep_prob, atol=0.02)
    assert shares[0] == 0
    assert shares[3] == 1


def test_projection_hand_worked() -> None:
    # 1.8 - 3 * shift = 1, so shift = 4/15
    got = project_to_budget(np.array([0.9, 0.6, 0.3]), 1)
    np.testing.assert_allclose(got, np.array([19.0, 10.0, 1.0]) / 30)


def test_projection_from_far_outside() -> None:
    """Around a shift of 0 the clamped sum is flat: small steps from there would never arrive."""
    np.testing.assert_allclose(project_to_budget(np.array([2.0]), 0.984375), [0.984375])


def test_what_is_feasible_is_left_alone() -> None:
    inside = np.array([0.2, 0.0, 1.0])
    np.testing.assert_array_equal(project_to_budget(inside, 2), inside)


@given(steps, st.floats(0, 12))
def test_projection_agrees_with_an_exact_solver(values: Floats, budget: float) -> None:
    np.testing.assert_allclose(project_to_budget(values, budget), exact_projection(values, budget), atol=1e-6)


@given(steps, st.floats(0, 12))
def test_projection_is_feasible_and_idempotent(values: Floats, budget: float) -> None:
    projected = project_to_budget(values, budget)
    assert projected.min() >= 0
    assert projected.max() <= 1
    assert projected.sum() <= budget + 1e-9
    np.testing.assert_allclose(project_to_budget(projected, budget), projected, atol=1e-9)


@given(steps, st.floats(0.1, 12), st.integers(0, 2**32 - 1))
def test_no_feasible_point_is_nearer(values: Floats, budget: float, seed: int) -> None:
    projected = project_to_budget(values, budget)
    others = np.random.default_rng(seed).random((200, len(values)))
    others *= np.minimum(1, budget / others.sum(axis=1, keepdims=True))
    assert ((others - values) ** 2).sum(axis=1).min() >= ((projected - values) ** 2).sum() - 1e-6
