"""What ``dconrec`` starts from: the teacher's ranking, shared out in several ways of which the best on valid is kept.

A policy of two numbers with the real reward: how much of the budget a user gets, and how an observed interaction stands
against a pseudo one of the same score. Which is best depends on the data and on the budget (docs/method.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dconrec_core.condensation.base import equal_quota, rank_within_user
from dconrec_core.condensation.bernoulli import Probabilities
from dconrec_core.condensation.inner import Look
from dconrec_core.types import CandidatePool

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
    """One way to share a budget out.

    Attributes:
        power: Users get as many interactions as their number of them to this power, 0 being the same for all; None
            ranks all candidates of all users in one list.
        observed: Added to the score of an observed candidate, in standard deviations of its user's scores.
    """

    power: float | None
    observed: float

    @property
    def name(self) -> str:
        """For the card: ``degree^0.5, observed -1``."""
        share = "one ranking" if self.power is None else f"degree^{self.power:g}"
        return f"{share}, observed {self.observed:+g}"


@dataclass(frozen=True)
class Proposal:
    """Where the search may start.

    Args:
        logits: Of all candidates, ``[n]``.
        keep_prob: The feasible probabilities that they stand for, ``[n]``.
        look: What the set is worth on valid.
        notes: How it came about, for the card.
    """

    logits: Values
    keep_prob: Probabilities
    look: Look
    notes: dict[str, Any]


RULES = tuple(Rule(power, observed) for power in (0.0, 0.5, None) for observed in (0.0, -1.0))
"""The first is the teacher's ranking as it stands, the same number for every user."""


def standardised(pool: CandidatePool) -> Values:
    """The teacher's scores with mean 0 and standard deviation 1 within each user, float64 ``[n]``."""
    users, score = pool.interactions.users, pool.score.astype(np.float64)
    count = np.maximum(pool.interactions.user_degree, 1)
    centred = score - (np.bincount(users, weights=score, minlength=len(count)) / count)[users]
    variance = np.bincount(users, weights=centred**2, minlength=len(count)) / count
    return np.asarray(centred / np.sqrt(variance + 1e-12)[users])


def proposed_logits(pool: CandidatePool, rule: Rule, tail: npt.NDArray[np.bool_], left: int) -> Values:
    """Logits whose ``left`` largest, the tail apart, are what the rule keeps; 0 lies at the edge. float64 ``[n]``.

    Args:
        pool: The candidates.
        rule: The rule.
        tail: Candidates that are kept whatever the rule says.
        left: How many others are kept.
    """
    users = pool.interactions.users
    value = standardised(pool) + rule.observed * pool.observed
    if rule.power is None:
        edge = np.sort(value[~tail])[-left] if 0 < left <= int((~tail).sum()) else value.min(initial=0.0)
        return np.where(tail, np.inf, value - edge)
    held = np.bincount(users[tail], minlength=pool.interactions.n_users)
    quota = shares(pool.interactions.user_degree - held, pool.train.user_degree**rule.power, left)[users]
    place = rank_within_user(pool.interactions, np.where(tail, np.inf, value)) - held[users]
    return np.where(tail, np.inf, 2 * (quota - place - 0.5) / np.maximum(quota, 1))


def shares(
    available: npt.NDArray[np.int64], weight: npt.NDArray[np.floating[Any]], budget: int
) -> npt.NDArray[np.int64]:
    """Share ``budget`` over users in proportion to ``weight``, nobody getting more than is ``available``.

    What rounding leaves over is shared equally. int64 ``[n_users]``.
    """
    low, high = 0.0, float(budget)
    for _ in range(50):  # the highest factor that fits
        middle = (low + high) / 2
        fits = np.minimum(np.floor(middle * weight), available).sum() <= budget
        low, high = (middle, high) if fits else (low, middle)
    quota = np.minimum(np.floor(low * weight), available).astype(np.int64)
    return np.asarray(quota + equal_quota(available - quota, budget - int(quota.sum())))
