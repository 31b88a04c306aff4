"""Keep-probabilities: drawing masks, projecting onto the budget, and the policy-gradient estimate. No training here."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dconrec_core.kernels import clamped_sum

Probabilities = npt.NDArray[np.float64]
MOST_STEPS = 60
"""Of the root finding below; even if each only halved the interval, it would be below 1e-18 wide."""
CERTAIN = 1e-6
"""Variance of a candidate's mask below which it counts as certain, which keeps the estimate finite."""
TOLERANCE = 1e-12
"""Share of the budget that may stay unused."""


def draw_masks(keep_prob: Probabilities, n_samples: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """``n_samples`` independent Bernoulli masks, bool ``[n_samples, n]``."""
    return rng.random((n_samples, len(keep_prob)), dtype=np.float32) < keep_prob.astype(np.float32)


def project_to_budget(keep_prob: Probabilities, budget: float) -> Probabilities:
    """Nearest point to ``keep_prob`` in {p in [0, 1]^n : sum(p) <= budget}.

    The nearest point is ``clip(keep_prob - shift, 0, 1)`` with the smallest shift >= 0 that meets the budget. The
    clamped sum falls piecewise linearly in the shift, so Newton's method finds it in a few passes without allocation,
    and bisection takes over where it would leave the interval.

    Args:
        keep_prob: Keep-probabilities after a gradient step, ``[n]``.
        budget: Most interactions in expectation.

    References:
        Wu et al., Condensing Pre-augmented Recommendation Data, arXiv:2310.01038, section on the constrained problem.
    """
    low, high, shift = 0.0, float(keep_prob.max(initial=0)), 0.0
    for _ in range(MOST_STEPS):
        total, inside = clamped_sum(keep_prob, shift)
        if total <= budget:
            high = shift
            if not shift or budget - total <= TOLERANCE * budget:
                break
        else:
            low = shift
        newton = shift + (total - budget) / inside if inside else high  # where the sum is flat it points nowhere
        shift = newton if low < newton < high else (low + high) / 2
    return (keep_prob - high).clip(0, 1)  # `high` is within budget


def policy_gradient(
    losses: npt.NDArray[np.floating[Any]],
    masks: npt.NDArray[np.bool_],
    keep_prob: Probabilities,
    *,
    baseline: bool = True,
) -> npt.NDArray[np.float64]:
    """Unbiased estimate of the gradient of the expected loss with respect to the keep-probabilities.

    Without a baseline g = 1/K Σ_k L_k (m_k − s) / (s (1 − s)); with the leave-one-out baseline
    g = 1/(K − 1) Σ_k (L_k − L̄) (m_k − s) / (s (1 − s)): the same expectation, less variance. The quotient is the
    gradient of a mask's log-probability. Next to 0 and 1 masks are certain and carry no information: 0 there.

    Args:
        losses: Loss of the training on each mask: ``[K]``, or ``[K, n]`` where candidates have losses of their own.
        masks: The masks, bool ``[K, n]``.
        keep_prob: Where they were drawn from, ``[n]``.
        baseline: Whether to subtract the leave-one-out baseline; needs K >= 2.

    Returns:
        float64 ``[n]``.
    """
    per_mask = np.asarray(losses, dtype=np.float64)
    centred, count = (per_mask - per_mask.mean(axis=0), len(masks) - 1) if baseline else (per_mask, len(masks))
    total = np.zeros_like(keep_prob)
    for loss, mask in zip(centred, masks, strict=True):
        total += loss * mask
    total -= centred.sum(axis=0) * keep_prob
    variance = keep_prob * (1 - keep_prob)
    return np.divide(total, count * variance, out=np.zeros_like(total), where=variance >= CERTAIN)
