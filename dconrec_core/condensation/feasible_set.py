"""The feasible set of ``dconrec``: keep-probabilities within the budget, the tail held at 1; and how steps are made."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from dconrec_core.condensation.base import best_candidates, equal_quota, rank_within_user
from dconrec_core.condensation.bernoulli import Probabilities, project_to_budget
from dconrec_core.errors import BudgetError
from dconrec_core.types import BoolArray, Budget, CandidatePool

Gradient = npt.NDArray[np.float64]


class FeasibleSet:
    """What is feasible under a budget.

    Args:
        pool: The candidates.
        tail_threshold: Users with at most so many training interactions keep them all, inside the budget.
        budget: Most interactions.

    Raises:
        BudgetError: The tail alone is over the budget.
    """

    def __init__(self, pool: CandidatePool, tail_threshold: int, budget: Budget) -> None:
        self.pool = pool
        self.tail: BoolArray = pool.observed & (pool.train.user_degree <= tail_threshold)[pool.interactions.users]
        if (held := int(self.tail.sum())) > budget.n_interactions:
            raise BudgetError(
                f"users with at most {tail_threshold} interactions hold {held}, the budget is {budget.n_interactions}; "
                "lower condense.config.tail_threshold or raise condense.ratio"
            )
        self.free = np.flatnonzero(~self.tail)
        self.count = min(budget.n_interactions, len(pool))
        self.left = self.count - held

    def start(self, by: Literal["teacher", "constant"], sharpness: float) -> Probabilities:
        """Probabilities to start from, summing to the budget.

        Args:
            by: ``teacher``: falling with the teacher's rank around an equal number of interactions per user;
                ``constant``: the same for every candidate, as in the paper.
            sharpness: How fast they fall at the edge of a user's number.
        """
        if by == "constant":
            return self.project(np.full(len(self.pool), self.left / max(len(self.free), 1)))
        users = self.pool.interactions.users
        kept = np.bincount(users[self.tail], minlength=self.pool.interactions.n_users)
        quota = equal_quota(self.pool.interactions.user_degree - kept, self.left)[users]
        value = np.where(self.tail, np.inf, self.pool.score)
        place = rank_within_user(self.pool.interactions, value) - kept[users]
        steepness = sharpness / np.maximum(quota, 1)
        keep_prob = 1 / (1 + np.exp(np.clip(steepness * (place - quota + 0.5), -30, 30)))
        free = keep_prob[self.free]
        if (short := self.left - free.sum()) > 0:  # a budget near the whole pool: raise all, order kept
            keep_prob[self.free] = free + (1 - free) * short / (len(free) - free.sum())
        return self.project(keep_prob)

    def at_logits(self, logits: Probabilities, width: float) -> Probabilities:
        """Feasible probabilities with this order, falling over ``width`` at the edge of the budget."""
        if not 0 < self.left < len(self.free):
            return self.project(np.ones(len(self.pool)))
        edge = np.partition(logits[self.free], -self.left)[-self.left]
        return self.project(1 / (1 + np.exp(-np.clip((logits - edge) / width, -30, 30))))

    def project(self, keep_prob: Probabilities) -> Probabilities:
        """Nearest feasible probabilities."""
        projected = np.ones_like(keep_prob)
        projected[self.free] = project_to_budget(keep_prob[self.free], float(self.left))
        return projected

    def final_set(self, keep_prob: Probabilities) -> BoolArray:
        """The most probable candidates, as many as the budget allows; ties by the teacher's score. bool ``[n]``."""
        return best_candidates(keep_prob, self.pool.score.astype(np.float64), self.count)


class NaturalStep:
    """Gradient divided by each Bernoulli's Fisher information 1 / (s (1 − s)): bounded where s nears 0 or 1."""

    def direction(self, gradient: Gradient, keep_prob: Probabilities) -> Gradient:
        """Where to step from ``keep_prob``, float64 ``[n]``."""
        return gradient * keep_prob * (1 - keep_prob)


class AdamStep:
    """Adam's direction (β = 0.9, 0.999), as in the paper."""

    def __init__(self, size: int) -> None:
        self.first, self.second, self.steps = np.zeros(size), np.zeros(size), 0

    def direction(self, gradient: Gradient, keep_prob: Probabilities) -> Gradient:
        """Where to step from ``keep_prob``, float64 ``[n]``."""
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        corrected = self.first / (1 - 0.9**self.steps)
        return np.asarray(corrected / (np.sqrt(self.second / (1 - 0.999**self.steps)) + 1e-8))
