"""DConRec: keep-probabilities over a pre-augmented pool, moved by policy gradients (arXiv:2310.01038; docs/method.md).

Departures from the paper, each because a measurement asked for it: the search starts at the teacher's ranking and not at
a constant; the inner training goes on from a model trained on the current set, so that a loss can be read from it; masks
share their randomness; a candidate is credited with its own user's loss; steps are natural-gradient ones.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dconrec_core.condensation.base import best_candidates, equal_quota, make_condensed, rank_within_user
from dconrec_core.condensation.bernoulli import Probabilities, draw_masks, policy_gradient, project_to_budget
from dconrec_core.condensation.inner import InnerTraining
from dconrec_core.errors import BudgetError
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import Config
from dconrec_core.rng import numpy_rng
from dconrec_core.types import BoolArray, Budget, CandidatePool, CondensedDataset, Interactions


class DConRecConfig(Config):
    """Settings of ``dconrec``."""

    outer_epochs: int = Field(100, ge=0)
    n_samples: int = Field(4, ge=2)
    """Masks an outer epoch, K."""
    inner_epochs: int = Field(1, ge=1)
    """Epochs of each masked training."""
    learning_rate: float = Field(0.05, gt=0)
    """Step size on the keep-probabilities; decays linearly to 0."""
    credit: Literal["user", "global"] = "user"
    """Whose validation loss a candidate answers for: its own user's, or everyone's as in the paper."""
    baseline: bool = True
    """Leave-one-out baseline of the estimate."""
    sharpness: float = Field(4.0, gt=0)
    """Steepness of the start: how fast the keep-probability falls at the edge of a user's quota."""
    tail_threshold: int = Field(10, ge=0)
    """Users with at most so many interactions keep them all; they count inside the budget."""
    refresh: int = Field(10, ge=1)
    """Outer epochs between two warm starts on the current set; each is also a look at valid."""
    warm_epochs: int = Field(30, ge=1)
    """Epochs of a warm start."""
    valid_negatives: int = Field(8, ge=1)
    """Fixed negatives per validation interaction in the loss."""


class DConRec:
    """Policy-gradient condensation."""

    name = "dconrec"

    def __init__(self, config: DConRecConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``. One event an outer epoch: loss, expected size, squared gradient-mapping norm."""
        config = self.config
        rng = numpy_rng(options.seed, "condense", self.name)
        tail = tail_candidates(pool, config.tail_threshold)
        if tail.sum() > budget.n_interactions:
            raise BudgetError(
                f"users with at most {config.tail_threshold} interactions hold {int(tail.sum())}, the budget is "
                f"{budget.n_interactions}; lower condense.config.tail_threshold or raise condense.ratio"
            )
        search = Search(pool, tail, budget)
        keep_prob = search.start(config.sharpness)
        inner = InnerTraining(pool, valid, rng, config.warm_epochs, config.inner_epochs, config.valid_negatives)
        best = (inner.warm_start(search.final_set(keep_prob)), 0, keep_prob)
        for epoch in range(1, config.outer_epochs + 1):
            masks = draw_masks(keep_prob, config.n_samples, rng)
            masks[:, tail] = True
            losses = inner.masked_losses(masks)
            credited = losses[:, pool.interactions.users] if config.credit == "user" else losses.mean(axis=1)
            gradient = policy_gradient(credited, masks, keep_prob, baseline=config.baseline)
            gradient[tail] = 0
            rate = config.learning_rate * (1 - (epoch - 1) / config.outer_epochs)
            moved = search.project(keep_prob - rate * natural(gradient, keep_prob))
            metrics = {
                "valid_loss": float(losses.mean()),
                "expected_size": float(moved.sum()),
                "mapping_norm_sq": float((((keep_prob - moved) / rate) ** 2).sum()),
            }
            keep_prob = moved
            if epoch % config.refresh == 0 or epoch == config.outer_epochs:
                quality = inner.warm_start(search.final_set(keep_prob))
                metrics["valid_ndcg@10"] = quality
                if quality > best[0]:
                    best = (quality, epoch, keep_prob)
            options.on_epoch(EpochEvent(options.label, epoch, config.outer_epochs, metrics))
        quality, epoch, keep_prob = best
        return make_condensed(
            pool,
            search.final_set(keep_prob),
            budget,
            condenser=self.name,
            config=config,
            seed=options.seed,
            keep_prob=keep_prob.astype(np.float32),
            notes={"source_model": "bprmf", "kept_outer_epoch": epoch, "valid_ndcg@10": quality},
        )


def tail_candidates(pool: CandidatePool, threshold: int) -> BoolArray:
    """Observed candidates of users with at most ``threshold`` training interactions, bool ``[n]``."""
    return pool.observed & (pool.train.user_degree <= threshold)[pool.interactions.users]


def natural(gradient: npt.NDArray[np.float64], keep_prob: Probabilities) -> npt.NDArray[np.float64]:
    """The gradient divided by each Bernoulli's Fisher information 1 / (s (1 − s)): bounded where s nears 0 or 1."""
    return gradient * keep_prob * (1 - keep_prob)


class Search:
    """The feasible set: probabilities within the budget, with the tail held at 1.

    Args:
        pool: The candidates.
        tail: Candidates that are always kept.
        budget: Most interactions, tail included.
    """

    def __init__(self, pool: CandidatePool, tail: BoolArray, budget: Budget) -> None:
        self.pool, self.tail = pool, tail
        self.free = np.flatnonzero(~tail)
        self.count = min(budget.n_interactions, len(pool))
        self.left = self.count - int(tail.sum())

    def start(self, sharpness: float) -> Probabilities:
        """Probabilities that fall with the teacher's rank around an equal number of interactions per user."""
        users = self.pool.interactions.users
        kept = np.bincount(users[self.tail], minlength=self.pool.interactions.n_users)
        available = self.pool.interactions.user_degree - kept
        quota = equal_quota(available, self.left)[users]
        value = np.where(self.tail, np.inf, self.pool.score)
        place = rank_within_user(self.pool.interactions, value) - kept[users]
        keep_prob = 1 / (1 + np.exp(-sharpness * (quota - 0.5 - place) / np.maximum(quota, 1)))
        return self.project(keep_prob)

    def project(self, keep_prob: Probabilities) -> Probabilities:
        """Nearest feasible probabilities."""
        projected = np.ones_like(keep_prob)
        projected[self.free] = project_to_budget(keep_prob[self.free], float(self.left))
        return projected

    def final_set(self, keep_prob: Probabilities) -> BoolArray:
        """The most probable candidates, exactly as many as the budget allows; ties by the teacher's score."""
        return best_candidates(keep_prob, self.pool.score.astype(np.float64), self.count)
