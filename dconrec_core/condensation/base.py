"""What a condenser is, and the few things that all of them share."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dconrec_core.errors import BudgetError, DataError
from dconrec_core.options import RunOptions
from dconrec_core.types import BoolArray, Budget, CandidatePool, CondensedDataset, FloatArray, Interactions


class Condenser(Protocol):
    """Makes a condensed dataset within a budget. It sees train (through the pool) and valid, never test."""

    config: Any

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """Choose from ``pool``, or make up histories of other users over the same items.

        Args:
            pool: Observed and pseudo interactions with the teacher's scores.
            valid: Validation interactions, for condensers that learn.
            budget: The most interactions to keep.
            options: Seed, device and who listens.

        Raises:
            BudgetError: The pool cannot serve the budget.
        """
        ...


def make_condensed(
    pool: CandidatePool,
    kept: BoolArray,
    budget: Budget,
    *,
    condenser: str,
    config: Any,
    seed: int,
    keep_prob: FloatArray | None = None,
    notes: dict[str, Any] | None = None,
) -> CondensedDataset:
    """The condensed dataset of the candidates that ``kept`` (bool ``[n]``) marks."""
    train = pool.train
    return CondensedDataset(
        interactions=pool.interactions.take(kept),
        observed=pool.observed[kept],
        keep_prob=np.ones(int(kept.sum()), dtype=np.float32)
        if keep_prob is None
        else keep_prob[kept].astype(np.float32),
        budget=budget,
        condenser=condenser,
        config=config.model_dump(),
        seed=seed,
        source=train.fingerprint(),
        n_source=len(train),
        n_users_source=train.n_users,
        notes=notes or {},
    )


def make_synthetic(
    interactions: Interactions,
    train: Interactions,
    budget: Budget,
    *,
    condenser: str,
    config: Any,
    seed: int,
    keep_prob: FloatArray | None = None,
    notes: dict[str, Any] | None = None,
    observed: bool = False,
) -> CondensedDataset:
    """The condensed dataset of histories over a user base of its own.

    Args:
        interactions: The histories: users numbered from 0, each with an interaction; items of ``train``.
        train: What they stand for.
        budget: The most interactions there may be.
        condenser: Name in ``CONDENSERS``.
        config: The condenser's settings.
        seed: Seed of the condensation.
        keep_prob: Probability of each pair, float32 ``[len(interactions)]``; 1 by default.
        notes: For the card, JSON values.
        observed: Whether the histories are copied from real users.

    Raises:
        DataError: The items are not those of ``train``, or a user has no interaction.
        BudgetError: There are more interactions than the budget.
    """
    if interactions.n_items != train.n_items:
        raise DataError(f"the histories are over {interactions.n_items} items, the source has {train.n_items}")
    return CondensedDataset(
        interactions=interactions,
        observed=np.full(len(interactions), observed),
        keep_prob=np.ones(len(interactions), dtype=np.float32) if keep_prob is None else keep_prob.astype(np.float32),
        budget=budget,
        condenser=condenser,
        config=config.model_dump(),
        seed=seed,
        source=train.fingerprint(),
        n_source=len(train),
        n_users_source=train.n_users,
        inductive=True,
        notes=notes or {},
    )


def best_candidates(value: npt.NDArray[np.floating[Any]], tie: npt.NDArray[np.floating[Any]], count: int) -> BoolArray:
    """Mark the ``count`` largest of ``value``; ties by ``tie``, then by position. bool ``[n]``."""
    kept = np.zeros(len(value), dtype=bool)
    kept[np.lexsort((-tie, -value))[:count]] = True
    return kept


def rank_within_user(interactions: Interactions, value: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """0-based place of each interaction among its user's, largest ``value`` first, ties by item id; int64 ``[nnz]``."""
    order = np.lexsort((-value, interactions.users))
    place = np.empty(len(interactions), dtype=np.int64)
    place[order] = np.arange(len(interactions)) - interactions.indptr[interactions.users]
    return place


def equal_quota(available: npt.NDArray[np.int64], budget: int) -> npt.NDArray[np.int64]:
    """Share ``budget`` equally over users, giving what some cannot use to the others.

    Args:
        available: Candidates per user, ``[n_users]``.
        budget: Interactions to hand out.

    Returns:
        Interactions per user, ``[n_users]``; they sum to ``min(budget, available.sum())``. The last few that do not
        divide go to the users with the lowest ids among those who can take one more.
    """
    if budget < 0:
        raise BudgetError(f"budget is {budget} interactions; it must not be negative")
    low, high = 0, int(available.max(initial=0))
    while low < high:  # the highest level that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(available, middle).sum() <= budget else (low, middle - 1)
    quota = np.minimum(available, low)
    more = np.flatnonzero(available > low)[: budget - int(quota.sum())]
    quota[more] += 1
    return quota
