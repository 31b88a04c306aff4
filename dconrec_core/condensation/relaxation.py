"""From logits to a discrete set of exactly the budget, and keep-probabilities that come to it.

A set is the ``budget`` largest of a table of logits. Its relaxation at temperature τ keeps each entry with probability
sigmoid((logit − threshold) / τ), with the threshold at which they sum to the budget; τ → 0 gives the set itself.
"""

import numpy as np
import torch

MOST_STEPS = 40
LOWEST = -25.0  # sigmoid 1e-11
CLOSE = 2e-3
"""Of the budget: how far a relaxed set's size may be off."""


def hard_threshold(logits: torch.Tensor, budget: int) -> torch.Tensor:
    """The ``budget``-th largest logit.

    Raises:
        ValueError: There are fewer, or none is asked for.
    """
    flat = logits.detach().flatten()
    place = len(flat) - budget
    if not 0 <= place < len(flat):
        raise ValueError(f"{budget} of {len(flat)} logits cannot be kept")
    if flat.device.type == "cpu":  # the same value in a seventh of the time
        return torch.tensor(np.partition(flat.numpy(), place)[place])
    return torch.kthvalue(flat, place + 1).values


def discrete(logits: torch.Tensor, budget: int) -> torch.Tensor:
    """1 for the ``budget`` largest logits and 0 elsewhere; of equal ones at the edge, those that come first. Exact."""
    threshold = hard_threshold(logits, budget)
    chosen = (logits > threshold).flatten()
    ties = torch.nonzero((logits == threshold).flatten()).flatten()
    chosen[ties[: budget - int(chosen.sum())]] = True
    return chosen.view_as(logits).to(logits.dtype)


def relaxed(logits: torch.Tensor, budget: int, temperature: float, near: float) -> tuple[torch.Tensor, float]:
    """Probabilities that sum to ``budget``, and their threshold.

    Newton's method from a threshold ``near`` it, which takes two or three passes between neighbouring temperatures;
    bisection where that would leave the interval.
    """
    # At the ends nearly everything, or nearly nothing, is kept.
    low, high = (float(end) for end in logits.aminmax())
    low, high = low + LOWEST * temperature, high - LOWEST * temperature
    threshold = near if low < near < high else (low + high) / 2
    for _ in range(MOST_STEPS):
        probability = _sigmoid(logits, threshold, temperature)
        excess = float(probability.sum()) - budget
        if abs(excess) <= CLOSE * budget:
            break
        low, high = (threshold, high) if excess > 0 else (low, threshold)
        slope = float((probability * (1 - probability)).sum()) / temperature
        newton = threshold + excess / max(slope, 1e-12)
        threshold = newton if low < newton < high else (low + high) / 2
    return probability, threshold


def window(logits: torch.Tensor, threshold: float | torch.Tensor, width: float) -> torch.Tensor:
    """Derivative of the sigmoid around the threshold, up to its factor: how much of a gradient reaches each logit."""
    probability = _sigmoid(logits, threshold, width)
    return probability * (1 - probability)


def _sigmoid(logits: torch.Tensor, threshold: float | torch.Tensor, width: float) -> torch.Tensor:
    """sigmoid((logit − threshold) / width), never so near 0 that products of it lose the processor's fast path."""
    return torch.sigmoid(((logits - threshold) / width).clamp_(min=LOWEST))
