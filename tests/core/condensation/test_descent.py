"""How logits are moved: Adam by another hand, and what lies between it and one step size for all."""

import subprocess
import sys

import pytest
import torch

from dconrec_core.condensation.descent import Adam, Descent


def moved(gradients: list[torch.Tensor], adaptivity: float, rate: float = 0.1) -> torch.Tensor:
    logits = torch.zeros_like(gradients[0])
    descent = Descent(logits, 0.9, adaptivity)
    for number, gradient in enumerate(gradients, start=1):
        descent.step(number, gradient, rate)
    return logits


def some_gradients() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(5, 7, generator=generator) * torch.logspace(-3, 0, 7) for _ in range(20)]


def test_adam_is_torchs_to_the_bit_and_imports_no_compiler():
    theirs = [torch.zeros(5, 7, requires_grad=True), torch.ones((), requires_grad=True)]
    ours = [each.detach().clone().requires_grad_() for each in theirs]
    steps = Adam(ours, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for gradient in some_gradients():
        for adam, parameters in zip(steps, (ours, theirs), strict=True):
            adam.zero_grad()
            ((parameters[0] * gradient).sum() * (1 + parameters[1] ** 2)).backward()
            adam.step()
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
    code = "import sys; from dconrec_core.condensation.descent import Adam; import torch; Adam([torch.ones(2)], 1.0)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch._dynamo' not in sys.modules"], check=True)


def test_fully_adaptive_is_adam():
    known = torch.zeros(5, 7, requires_grad=True)
    adam = torch.optim.Adam([known], lr=0.1, betas=(0.9, 0.99), eps=1e-12)
    for gradient in some_gradients():
        known.grad = gradient.clone()
        adam.step()
    torch.testing.assert_close(moved(some_gradients(), 1.0), known.detach())


@pytest.mark.parametrize(("adaptivity", "ratio"), [(1.0, 1.0), (0.5, 10.0), (0.0, 100.0)])
def test_the_first_step_of_gradients_a_hundred_times_apart(adaptivity: float, ratio: float):
    step = moved([torch.tensor([1.0, 100.0])], adaptivity)
    assert float(step[1] / step[0]) == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("adaptivity", [0.0, 0.5, 1.0])
def test_the_unit_of_the_loss_does_not_matter(adaptivity: float):
    in_another = [1000 * gradient for gradient in some_gradients()]
    torch.testing.assert_close(moved(in_another, adaptivity), moved(some_gradients(), adaptivity))


@pytest.mark.parametrize("adaptivity", [0.0, 0.5, 1.0])
def test_nothing_moves_without_a_gradient_and_the_infinite_stays(adaptivity: float):
    logits = torch.tensor([0.5, torch.inf])
    descent = Descent(logits, 0.9, adaptivity)
    descent.step(1, torch.zeros(2), 0.1)
    assert logits.tolist() == [0.5, torch.inf]
    descent.step(2, torch.tensor([1.0, 0.0]), 0.1)
    assert logits[0] < 0.5
    assert logits[1] == torch.inf


def test_the_running_mean_hand_worked():
    descent = Descent(torch.zeros(1), 0.75, 1.0)
    for number in (1, 2):
        descent.step(number, torch.ones(1), 0.1)  # Adam moves by 0.1 while the gradient stays
    # Of the first steps it is the plain mean with the start: (0 − 0.1) / 2, then (0 − 0.1 − 0.2) / 3.
    assert float(descent.mean) == pytest.approx(-0.1, rel=1e-4)
