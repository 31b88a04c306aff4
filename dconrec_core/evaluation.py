"""Full ranking over the whole catalogue: score, mask what was seen, rank, measure. No sampled candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dconrec_core.errors import DataError
from dconrec_core.kernels import contains
from dconrec_core.metrics import PerUser, ndcg_at, recall_at
from dconrec_core.ranking import ScoreFunction, top_items
from dconrec_core.types import IntArray, Interactions, Split

CUTOFFS = (5, 10, 20)


@dataclass(frozen=True)
class RankingTask:
    """Rank the items that users have not ``seen`` and compare with ``target``.

    ``seen`` is always what the real users had (the source's training set), also for a model that was trained on a
    condensed set. Users without a target are left out.

    Args:
        seen: Interactions masked out of the ranking.
        target: Interactions to find.
    """

    seen: Interactions
    target: Interactions

    def __post_init__(self) -> None:
        if not self.seen.same_catalogue(self.target):
            raise DataError("seen and target interactions have different catalogues")

    @classmethod
    def valid(cls, train: Interactions, valid: Interactions) -> "RankingTask":
        """The task of early stopping and of every choice: find ``valid``, with ``train`` masked."""
        return cls(train, valid)

    @classmethod
    def test(cls, split: Split) -> "RankingTask":
        """The task of the final figure: find ``test``, with train and valid masked."""
        users = np.concatenate((split.train.users, split.valid.users))
        items = np.concatenate((split.train.items, split.valid.items))
        return cls(Interactions.of(users, items, split.train.n_users, split.train.n_items), split.test)

    @cached_property
    def users(self) -> IntArray:
        """Users with something to find, int32 ``[n]``."""
        return np.flatnonzero(self.target.user_degree).astype(np.int32)

    def rank(self, score: ScoreFunction, k: int) -> npt.NDArray[np.int32]:
        """The ``k`` best unseen items of each of ``users``; see ``top_items``."""
        return top_items(score, self.seen, self.users, k)

    def measure(self, score: ScoreFunction, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
        """Mean over users of recall and NDCG at each cut-off, as ``{"ndcg@10": …}``."""
        return {
            name: float(values.mean()) if len(values) else 0.0 for name, values in self.per_user(score, cutoffs).items()
        }

    def per_user(self, score: ScoreFunction, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, PerUser]:
        """Recall and NDCG of each of ``users`` at each cut-off."""
        ranked = self.rank(score, max(cutoffs))
        hits = contains(self.target.indptr, self.target.items, self.users, ranked)
        n_relevant = self.target.user_degree[self.users]
        measured = {f"ndcg@{k}": ndcg_at(hits, n_relevant, k) for k in cutoffs}
        return measured | {f"recall@{k}": recall_at(hits, n_relevant, k) for k in cutoffs}
