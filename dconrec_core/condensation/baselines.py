"""Condensers that do not learn: what a learned one must beat, at the same true budget."""

import numpy as np
from pydantic import Field

from dconrec_core.condensation.base import equal_quota, make_condensed, make_synthetic, rank_within_user
from dconrec_core.options import RunOptions
from dconrec_core.registry import Config
from dconrec_core.rng import numpy_rng
from dconrec_core.types import BoolArray, Budget, CandidatePool, CondensedDataset, Interactions


class BaselineConfig(Config):
    """Baselines have no settings."""


class _Baseline:
    name: str

    def __init__(self, config: BaselineConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``."""
        kept = self.choose(pool, budget.n_interactions, numpy_rng(options.seed, "condense", self.name))
        return make_condensed(pool, kept, budget, condenser=self.name, config=self.config, seed=options.seed)

    def choose(self, pool: CandidatePool, count: int, rng: np.random.Generator) -> BoolArray:
        """Mark the candidates to keep, bool ``[n]``."""
        raise NotImplementedError


def _draw(among: BoolArray, count: int, rng: np.random.Generator) -> BoolArray:
    kept = np.zeros(len(among), dtype=bool)
    places = np.flatnonzero(among)
    kept[rng.choice(places, size=min(count, len(places)), replace=False)] = True
    return kept


class Random(_Baseline):
    """A uniform draw from the observed interactions."""

    name = "random"

    def choose(self, pool: CandidatePool, count: int, rng: np.random.Generator) -> BoolArray:
        """See ``_Baseline.choose``."""
        return _draw(pool.observed, count, rng)


class RandomPool(_Baseline):
    """A uniform draw from the whole pool: what pre-augmentation alone gives."""

    name = "random-pool"

    def choose(self, pool: CandidatePool, count: int, rng: np.random.Generator) -> BoolArray:
        """See ``_Baseline.choose``."""
        return _draw(np.ones(len(pool), dtype=bool), count, rng)


class Popularity(_Baseline):
    """The observed interactions with the most popular items; within an item at random."""

    name = "popularity"

    def choose(self, pool: CandidatePool, count: int, rng: np.random.Generator) -> BoolArray:
        """See ``_Baseline.choose``."""
        observed = np.flatnonzero(pool.observed)
        popularity = pool.train.item_degree[pool.interactions.items[observed]]
        order = np.lexsort((rng.random(len(observed)), -popularity))
        kept = np.zeros(len(pool), dtype=bool)
        kept[observed[order[:count]]] = True
        return kept


class TeacherTopConfig(BaselineConfig):
    """Settings of ``teacher-top``."""

    observed_share: float | None = Field(None, ge=0, le=1)
    """Share of observed interactions in each user's part; by default whatever the teacher scores highest."""


class TeacherTop(_Baseline):
    """Each user's best candidates by the teacher's score, the same number for every user."""

    name = "teacher-top"
    config: TeacherTopConfig

    def choose(self, pool: CandidatePool, count: int, rng: np.random.Generator) -> BoolArray:
        """See ``_Baseline.choose``."""
        pairs, share = pool.interactions, self.config.observed_share
        quota = equal_quota(pairs.user_degree, count)
        if share is None:
            return rank_within_user(pairs, pool.score) < quota[pairs.users]
        n_observed = np.minimum(pool.train.user_degree, np.round(share * quota).astype(np.int64))
        # Where one kind runs short the other fills up, so that the budget is spent.
        n_observed = np.maximum(n_observed, quota - (pairs.user_degree - pool.train.user_degree))
        kept = np.zeros(len(pool), dtype=bool)
        for chosen, wanted in ((pool.observed, n_observed), (~pool.observed, quota - n_observed)):
            part = pairs.take(chosen)
            kept[chosen] = rank_within_user(part, pool.score[chosen]) < wanted[part.users]
        return kept


class RandomUsers:
    """Whole real users at random, their histories copied into a user base of its own: the rival of synthetic users.

    Users are drawn until the budget is spent; of the last one, a random part of the history is kept. Models trained on
    them fold every real user in, the drawn ones included.
    """

    name = "random-users"

    def __init__(self, config: BaselineConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``."""
        train, rng = pool.train, numpy_rng(options.seed, "condense", self.name)
        drawn = rng.permutation(np.flatnonzero(train.user_degree))
        place = np.zeros(train.n_users, dtype=np.int32)
        place[drawn] = np.arange(len(drawn))
        # By drawn user, within a user in random order: what the budget cuts off is a random part of one history.
        kept = np.lexsort((rng.random(len(train)), place[train.users]))[: budget.n_interactions]
        users = place[train.users[kept]]
        histories = Interactions.of(users, train.items[kept], int(users.max(initial=-1)) + 1, train.n_items)
        return make_synthetic(
            histories, train, budget, condenser=self.name, config=self.config, seed=options.seed, observed=True
        )
