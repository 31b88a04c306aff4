"""Coresets: a part of the observed interactions, chosen by degree and place in the graph, or evenly over users."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dconrec_core.condensation._kernels import core_numbers
from dconrec_core.condensation.base import best_candidates, equal_quota, make_condensed, rank_within_user
from dconrec_core.condensation.baselines import BaselineConfig
from dconrec_core.options import RunOptions
from dconrec_core.rng import numpy_rng
from dconrec_core.types import BoolArray, Budget, CandidatePool, CondensedDataset, Interactions

RANK_TOLERANCE = 1e-12
"""What the power iteration leaves of its first error."""


class Coreset:
    """Chooses from the observed interactions alone: exactly the budget, or all where there are fewer."""

    name: str

    def __init__(self, config: Any) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``; ``valid`` is not looked at, nor are pseudo interactions."""
        train, rng = pool.train, numpy_rng(options.seed, "condense", self.name)
        kept = np.zeros(len(pool), dtype=bool)
        kept[pool.observed] = self.choose(train, min(budget.n_interactions, len(train)), rng, options)
        return make_condensed(pool, kept, budget, condenser=self.name, config=self.config, seed=options.seed)

    def choose(self, train: Interactions, count: int, rng: np.random.Generator, options: RunOptions) -> BoolArray:
        """Mark the ``count`` interactions of ``train`` to keep, bool ``[nnz]``."""
        raise NotImplementedError


class ValueCoreset(Coreset):
    """Keeps the interactions of the highest value; which of equal ones, is drawn."""

    def choose(self, train: Interactions, count: int, rng: np.random.Generator, options: RunOptions) -> BoolArray:
        """See ``Coreset.choose``."""
        value = self.value(train, rng, options)
        return best_candidates(value, rng.random(len(train)), count)

    def value(
        self, train: Interactions, rng: np.random.Generator, options: RunOptions
    ) -> npt.NDArray[np.floating[Any]]:
        """What each interaction of ``train`` is worth, ``[nnz]``."""
        raise NotImplementedError


class RandomPerUser(Coreset):
    """A uniform draw within each user, the same number from every user; who has fewer gives the rest to the others."""

    name = "random-per-user"

    def choose(self, train: Interactions, count: int, rng: np.random.Generator, options: RunOptions) -> BoolArray:
        """See ``Coreset.choose``."""
        quota = equal_quota(train.user_degree, count)
        return rank_within_user(train, rng.random(len(train))) < quota[train.users]


class KCore(ValueCoreset):
    """The densest core of the user–item graph.

    The user or item of the lowest remaining degree is peeled off again and again; how high that degree had risen when
    it was a node's turn is the node's core number (Seidman, Social Networks 1983). An interaction lasts as long as
    both its ends: its value is the lower of their core numbers.
    """

    name = "k-core"

    def value(
        self, train: Interactions, rng: np.random.Generator, options: RunOptions
    ) -> npt.NDArray[np.floating[Any]]:
        """See ``ValueCoreset.value``."""
        user_core, item_core = graph_cores(train)
        return np.minimum(user_core[train.users], item_core[train.items]).astype(np.float64)


def graph_cores(train: Interactions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Core numbers of users and items, int64 ``[n_users]`` and ``[n_items]``: the largest k whose k-core has them."""
    by_item = train.csr().tocsc()
    cores = core_numbers(train.indptr, train.items, by_item.indptr.astype(np.int64), by_item.indices)
    return cores[: train.n_users], cores[train.n_users :]


class PageRankConfig(BaselineConfig):
    """Settings of ``pagerank``."""

    damping: float = Field(0.85, gt=0, lt=1)
    """Probability that the random walk goes on along an interaction and does not jump anywhere."""


class PageRank(ValueCoreset):
    """The interactions between central users and central items.

    As the PageRank sampling of Sachdeva et al., WSDM 2022 (arXiv:2201.04768), whose code drops the nodes of the lowest
    rank with all that hangs on them until the budget is met. So an interaction lasts as long as both its ends: its
    value is the lower of their ranks in the bipartite graph.
    """

    name = "pagerank"
    config: PageRankConfig

    def value(
        self, train: Interactions, rng: np.random.Generator, options: RunOptions
    ) -> npt.NDArray[np.floating[Any]]:
        """See ``ValueCoreset.value``."""
        user_rank, item_rank = page_rank(train, self.config.damping)
        # In single precision: ranks that differ by rounding alone are equal, and chance decides.
        return np.minimum(user_rank[train.users], item_rank[train.items]).astype(np.float32)


def page_rank(train: Interactions, damping: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """PageRank of users and items of the undirected graph of ``train`` (Page et al., 1999), by power iteration.

    Args:
        train: The edges. Users and items without any are not in the graph.
        damping: Probability of going on along an edge.

    Returns:
        float64 ``[n_users]`` and ``[n_items]``; together they sum to 1, and who is not in the graph has 0.
    """
    matrix = train.csr()
    known_users, known_items = train.user_degree > 0, train.item_degree > 0
    jump = 1 / max(int(known_users.sum() + known_items.sum()), 1)
    users = known_users * np.float64(jump)
    items = known_items * np.float64(jump)
    for _ in range(math.ceil(math.log(RANK_TOLERANCE) / math.log(damping))):  # each shrinks the error by the damping
        from_items = matrix @ (items / np.maximum(train.item_degree, 1))
        from_users = matrix.T @ (users / np.maximum(train.user_degree, 1))
        users = known_users * ((1 - damping) * jump + damping * from_items)
        items = known_items * ((1 - damping) * jump + damping * from_users)
    return np.asarray(users, dtype=np.float64), np.asarray(items, dtype=np.float64)
