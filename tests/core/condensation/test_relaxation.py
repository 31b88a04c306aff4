"""From logits to sets: exactly the budget, smooth on the way, and the same set in the end."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.relaxation import discrete, hard_threshold, relaxed, window


def table(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


def test_the_largest_logits_are_the_set() -> None:
    logits = table([0.1, 3.0, -1.0], [2.0, 0.2, 0.3])
    assert discrete(logits, 3).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert float(hard_threshold(logits, 3)) == torch.tensor(0.3)


def test_ties_at_the_edge_go_to_those_that_come_first() -> None:
    assert discrete(table([1.0, 5.0], [1.0, 1.0]), 2).tolist() == [[1, 1], [0, 0]]


@given(st.integers(1, 30), st.integers(0, 10_000), st.floats(0.05, 3))
def test_relaxed_sets_sum_to_the_budget_and_keep_the_order(budget: int, seed: int, temperature: float) -> None:
    logits = torch.randn(5, 8, generator=torch.Generator().manual_seed(seed))
    assert int(discrete(logits, budget).sum()) == budget
    probability, threshold = relaxed(logits, budget, temperature, 0.0)
    assert abs(float(probability.sum()) - budget) <= 0.01 * budget
    assert logits.min() - 10 * temperature < threshold < logits.max() + 10 * temperature
    order = logits.flatten().argsort()
    assert (probability.flatten()[order].diff() >= 0).all()


def test_falling_temperature_ends_in_the_discrete_set() -> None:
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    expected, threshold, gap = discrete(logits, 100), 0.0, 1.0
    for temperature in (1.0, 0.1, 0.0001):
        probability, threshold = relaxed(logits, 100, temperature, threshold)
        nearer = float((probability - expected).abs().mean())
        assert nearer < gap
        gap = nearer
    assert gap < 1e-3


def test_window_is_widest_at_the_threshold_and_never_vanishes() -> None:
    passed = window(table([0.0, 1.0, 100.0, -100.0]), 0.0, 0.5)
    assert float(passed.max()) == float(passed[0, 0]) == 0.25
    assert passed.min() >= 0
    assert float(passed[0, 3]) > 1e-12  # products of smaller numbers would be denormal, and slow
