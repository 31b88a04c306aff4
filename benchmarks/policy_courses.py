"""Courses of the policy gradient: the product's estimate and projection in the plain loop that the theorem is about."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from dconrec_core.condensation.bernoulli import Probabilities, draw_masks, policy_gradient, project_to_budget
from dconrec_core.types import BoolArray, IntArray

Floats = npt.NDArray[np.float64]
CERTAIN = 1e-8
"""As good as 0 in an exact gradient."""


class Feasible:
    """{s : margin ≤ s ≤ 1 − margin, Σ s ≤ budget}, by the product's projection onto the box from 0 to 1.

    Args:
        size: Number of candidates.
        budget: Most of them in expectation.
        margin: How far a probability stays from 0 and 1, which bounds the variance of the estimate.
    """

    def __init__(self, size: int, budget: float, margin: float) -> None:
        self.size, self.margin, self.width = size, margin, 1 - 2 * margin
        self.budget = (budget - size * margin) / self.width

    def project(self, keep_prob: Probabilities) -> Probabilities:
        """The nearest feasible point: shifting and scaling all coordinates alike keeps what is nearest."""
        inner = project_to_budget((keep_prob - self.margin) / self.width, self.budget)
        return np.asarray(self.margin + self.width * inner)

    def start(self) -> Probabilities:
        """The budget spread evenly, as in the paper."""
        return self.project(np.full(self.size, self.margin + self.width * self.budget / self.size))


@dataclass(frozen=True)
class Estimator:
    """A setting of the product's estimate.

    Args:
        name: In the results.
        baseline: With the leave-one-out baseline.
        own_user: A candidate answers for its own user's loss and not for the sum of all.
    """

    name: str
    baseline: bool
    own_user: bool

    def gradient(self, losses: Floats, masks: BoolArray, keep_prob: Probabilities, users: IntArray) -> Floats:
        """Estimate from the losses of all users under each mask, ``[K, n_users]``."""
        credited = losses[:, users] if self.own_user else losses.sum(axis=1)
        return policy_gradient(credited, masks, keep_prob, baseline=self.baseline)


ESTIMATORS = (
    Estimator("plain", baseline=False, own_user=False),
    Estimator("leave-one-out", baseline=True, own_user=False),
    Estimator("plain, own user", baseline=False, own_user=True),
    Estimator("leave-one-out, own user", baseline=True, own_user=True),
)


class Problem:
    """An outer objective: the sum over users of their expected validation losses.

    Args:
        users: User of each free candidate.
        feasible: Where the probabilities may be.
    """

    def __init__(self, users: IntArray, feasible: Feasible) -> None:
        self.users, self.feasible = users, feasible

    def losses(self, masks: BoolArray) -> Floats:
        """Every user's loss under each mask, ``[K, n_users]``."""
        raise NotImplementedError

    def exact_gradient(self, keep_prob: Probabilities) -> Floats | None:
        """Of the objective; None where it cannot be had."""
        return None


class Enumerated(Problem):
    """A problem so small that every mask's losses are known.

    Args:
        users: User of each free candidate, few enough to enumerate their masks.
        feasible: Where the probabilities may be.
        table: Losses of the masks in the order of ``all_masks``, ``[2 ** n, n_users]``.
    """

    def __init__(self, users: IntArray, feasible: Feasible, table: Floats) -> None:
        super().__init__(users, feasible)
        self.table, self.masks = table, all_masks(len(users))
        self.total = table.sum(axis=1)
        self.place = 1 << np.arange(len(users))[::-1]

    def losses(self, masks: BoolArray) -> Floats:
        """Looked up."""
        return np.asarray(self.table[masks @ self.place])

    def exact_gradient(self, keep_prob: Probabilities) -> Floats:
        """d/ds_j Σ_m p(m) L(m) = E[L | j kept] − E[L | j dropped]."""
        inside = keep_prob.clip(CERTAIN, 1 - CERTAIN)  # the quotient below is then the product over the others
        weights = np.where(self.masks, inside, 1 - inside).prod(axis=1) * self.total
        return np.asarray(weights @ np.where(self.masks, 1 / inside, -1 / (1 - inside)))

    def smoothness(self) -> float:
        """A Lipschitz constant of the gradient on the whole box.

        The objective is linear in each probability, so its Hessian anywhere is an average over masks of the matrix of
        second differences of the loss; no average has a larger norm than the largest of them.
        """
        n = len(self.users)
        index = np.arange(len(self.masks))
        differences = np.zeros((len(index), n, n))
        for i in range(n):
            for j in range(i):
                a, b = self.place[i], self.place[j]
                low = index & ~(a | b)
                second = self.total[low | a | b] - self.total[low | a] - self.total[low | b] + self.total[low]
                differences[:, i, j] = differences[:, j, i] = second
        return float(np.linalg.norm(differences, ord=2, axis=(1, 2)).max())


@dataclass(frozen=True)
class Epoch:
    """What is known of one outer epoch.

    Args:
        mapping_sq: Squared norm of the gradient mapping, the inner product of two independent estimates of it.
        standard_error: Of it, for noise that is alike in all coordinates.
        noise_sq: What the estimate's noise adds to the squared norm of the step's own gradient mapping.
        exact_sq: Squared norm of the exact gradient mapping; NaN where it is unknown.
        loss: Mean of the objective over the masks.
    """

    mapping_sq: float
    standard_error: float
    noise_sq: float
    exact_sq: float
    loss: float


def descend(
    problem: Problem, estimator: Estimator, rate: float, epochs: int, n_samples: int, rng: np.random.Generator
) -> Iterator[Epoch]:
    """Projected stochastic gradient descent with steps rate/√t.

    Two independent estimates are made in every epoch, each with masks and inner randomness of its own: the step takes
    their mean, and the inner product of their gradient mappings is the squared norm without the noise's share.

    Args:
        problem: What is minimised.
        estimator: How its gradient is estimated.
        rate: First step size.
        epochs: Outer epochs.
        n_samples: Masks of each of the two estimates.
        rng: Source of masks.
    """
    keep_prob, project = problem.feasible.start(), problem.feasible.project
    for epoch in range(1, epochs + 1):
        step = rate / epoch**0.5

        def mapping(gradient: Floats, at: Probabilities = keep_prob, step: float = step) -> Floats:
            return np.asarray((at - project(at - step * gradient)) / step)

        def estimate(at: Probabilities = keep_prob) -> tuple[Floats, float]:
            losses = problem.losses(masks := draw_masks(at, n_samples, rng))
            return estimator.gradient(losses, masks, at, problem.users), float(losses.sum(axis=1).mean())

        (one, one_loss), (other, other_loss) = estimate(), estimate()
        apart = float(np.square(mapping(one) - mapping(other)).sum())
        exact = problem.exact_gradient(keep_prob)
        yield Epoch(
            mapping_sq=float(mapping(one) @ mapping(other)),
            standard_error=apart / 2 / len(keep_prob) ** 0.5,
            noise_sq=apart / 4,
            exact_sq=float("nan") if exact is None else float(np.square(mapping(exact)).sum()),
            loss=(one_loss + other_loss) / 2,
        )
        keep_prob = project(keep_prob - step * (one + other) / 2)


def all_masks(n: int) -> BoolArray:
    """All masks of n candidates, counting up in binary, bool ``[2 ** n, n]``."""
    return np.array(list(product([False, True], repeat=n)))
