"""Keep-probabilities: drawing masks, projecting onto the budget, and the policy-gradient estimate. No training here."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dconrec_core.kernels import clamped_sum

Probabilities = npt.NDArray[np.float64]
BISECTION_STEPS = 60  # halves an interval of width 1 to below 1e-18


def draw_masks(keep_prob: Probabilities, n_samples: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """``n_samples`` independent Bernoulli masks, bool ``[n_samples, n]``."""
    return rng.random((n_samples, len(keep_prob)), dtype=np.float32) < keep_prob.astype(np.float32)


def project_to_budget(keep_prob: Probabilities, budget: float) -> Probabilities:
    """Nearest point to ``keep_prob`` in {p in [0, 1]^n : sum(p) <= budget}.

    The nearest point is ``clip(keep_prob - shift, 0, 1)`` with the smallest shift >= 0 that meets the budget; the
    clamped sum falls monotonically in the shift, so bisection finds it. Each step is one pass without allocation.

    Args:
        keep_prob: Keep-probabilities after a gradient step, ``[n]``.
        budget: Most interactions in expectation.

    References:
        Wu et al., Condensing Pre-augmented Recommendation Data, arXiv:2310.01038, section on the constrained problem.
    """
    if clamped_sum(keep_prob, 0.0) <= budget:
        return keep_prob.clip(0, 1)
    low, high = 0.0, float(keep_prob.max())
    for _ in range(BISECTION_STEPS):
        shift = (low + high) / 2
        low, high = (shift, high) if clamped_sum(keep_prob, shift) > budget else (low, shift)
    return (keep_prob - high).clip(0, 1)  # ends on `high`, so within budget


def score_function(
    masks: npt.NDArray[np.bool_], keep_prob: Probabilities, floor: float = 1e-6
) -> npt.NDArray[np.float64]:
    """Gradient of the log-probability of each mask, (m − s) / (s (1 − s)), ``[n_samples, n]``.

    Probabilities at 0 or 1 are certain, so their masks carry no information: their entries are 0. ``floor`` keeps the
    quotient finite next to the ends.
    """
    variance = keep_prob * (1 - keep_prob)
    certain = variance < floor
    return np.where(certain, 0.0, (masks - keep_prob) / np.where(certain, 1.0, variance))


def policy_gradient(
    losses: npt.NDArray[np.floating[Any]],
    masks: npt.NDArray[np.bool_],
    keep_prob: Probabilities,
    *,
    baseline: bool = True,
) -> npt.NDArray[np.float64]:
    """Unbiased estimate of the gradient of the expected loss with respect to the keep-probabilities.

    Without a baseline g = 1/K Σ_k L_k (m_k − s) / (s (1 − s)); with the leave-one-out baseline
    g = 1/(K − 1) Σ_k (L_k − L̄) (m_k − s) / (s (1 − s)): the same expectation, less variance.

    Args:
        losses: Loss of the training on each mask: ``[K]``, or ``[K, n]`` where candidates have losses of their own.
        masks: The masks, bool ``[K, n]``.
        keep_prob: Where they were drawn from, ``[n]``.
        baseline: Whether to subtract the leave-one-out baseline; needs K >= 2.

    Returns:
        float64 ``[n]``.
    """
    per_mask = np.asarray(losses, dtype=np.float64)
    per_mask = per_mask[:, None] if per_mask.ndim == 1 else per_mask
    scores = score_function(masks, keep_prob)
    if not baseline:
        return np.asarray((per_mask * scores).mean(axis=0))
    return np.asarray(((per_mask - per_mask.mean(axis=0)) * scores).sum(axis=0) / (len(masks) - 1))
