"""What ``dconrec`` starts from: the teacher's ranking, shared out in several ways of which the best on valid is kept.

A policy of three numbers with the real reward: how much of the budget a user gets, how an observed interaction stands
against a pseudo one of the same score, and a popular item against a rare one. Which is best depends on the data and on
the budget (docs/method.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """One way to share a budget out; by default the teacher's ranking as it stands, the same number for every user.

    Attributes:
        power: Users get as many interactions as their number of them to this power, 0 being the same for all; None
            ranks all candidates of all users in one list.
        observed: Added to the score of an observed candidate, in standard deviations of its user's scores.
        popularity: Added to a candidate's score for each standard deviation by which its item's log number of
            interactions lies above its user's other candidates'.
    """

    power: float | None = 0.0
    observed: float = 0.0
    popularity: float = 0.0

    @property
    def name(self) -> str:
        """For the card: ``degree^0.5, observed -1, popularity -0.25``."""
        share = "one ranking" if self.power is None else f"degree^{self.power:g}"
        return f"{share}, observed {self.observed:+g}, popularity {self.popularity:+g}"


CORNERS = tuple(Rule(power, observed) for observed in (0.0, -1.0, -4.0) for power in (0.0, 0.5, None))
"""Rules far apart, of which the best is gone on from; the first is the plain one."""
AXES: dict[str, tuple[Any, ...]] = {
    "popularity": (0.0, -0.25, -0.5, -0.75, -1.0),
    "observed": (0.0, -1.0, -2.0, -4.0),
    "power": (0.0, 0.5, None),
}
"""Values of each number of a rule, in the order in which they are gone through."""
MOST_RULES = math.prod(map(len, AXES.values()))
"""A climb looks at no rule twice, and at far fewer than all."""


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


def climb(look: Callable[[Rule], Look], plain: Look, errors: float) -> Rule:
    """Go from the best of the corners along one number after the other, as long as that pays, until it pays nowhere.

    Args:
        look: What a rule is worth; asked at most once for each.
        plain: What the plain rule is worth.
        errors: Standard errors by which a rule has to beat the one before.
    """
    known = {Rule(): plain}

    def pays(rule: Rule) -> bool:
        if rule not in known:
            known[rule] = look(rule)
        return known[rule].beats(known[best], errors)

    best, before = Rule(), None
    for rule in CORNERS[1:]:
        if pays(rule):
            best = rule
    while best != before:
        before = best
        for axis, values in AXES.items():
            for step in (1, -1):
                place = values.index(getattr(best, axis)) + step
                while 0 <= place < len(values) and pays(rule := replace(best, **{axis: values[place]})):
                    best, place = rule, place + step
    return best


def standardised(pool: CandidatePool, values: npt.NDArray[Any]) -> Values:
    """Values of candidates with mean 0 and standard deviation 1 within each user, float64 ``[n]``."""
    users, values = pool.interactions.users, values.astype(np.float64)
    count = np.maximum(pool.interactions.user_degree, 1)
    centred = values - (np.bincount(users, weights=values, minlength=len(count)) / count)[users]
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
    value = standardised(pool, pool.score) + rule.observed * pool.observed
    if rule.popularity:
        log_count = np.log1p(pool.train.item_degree)[pool.interactions.items]
        value += rule.popularity * standardised(pool, log_count)
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
