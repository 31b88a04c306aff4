"""Full ranking over the whole catalogue: score, mask what was seen, rank, measure. No sampled candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dconrec_core.errors import DataError
from dconrec_core.kernels import contains
from dconrec_core.metrics import PerUser, ndcg_at, recall_at
from dconrec_core.ranking import ScoreFunction, Scorer, top_items
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
        histories: Makes the task inductive: users are folded in from these, instead of being looked up by id.
        wanted: How many items each user has to find, int64 ``[n_users]``, where ``target`` does not hold them all; what
            it lacks is never found.
    """

    seen: Interactions
    target: Interactions
    histories: Interactions | None = None
    wanted: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not self.seen.same_catalogue(self.target):
            raise DataError("seen and target interactions have different catalogues")
        if self.histories is not None and not self.seen.same_catalogue(self.histories):
            raise DataError("seen interactions and histories have different catalogues")

    @classmethod
    def valid(cls, train: Interactions, valid: Interactions, inductive: bool = False) -> "RankingTask":
        """The task of early stopping and of every choice: find ``valid``, with ``train`` masked.

        Args:
            train: What the real users had.
            valid: What they had beside it.
            inductive: Whether users are folded in from ``train``.
        """
        return cls(train, valid, train if inductive else None)

    @classmethod
    def test(cls, split: Split, inductive: bool = False) -> "RankingTask":
        """The task of the final figure: find ``test``, with train and valid masked.

        Args:
            split: Where all three come from.
            inductive: Whether users are folded in, from their training history as on valid.
        """
        users = np.concatenate((split.train.users, split.valid.users))
        items = np.concatenate((split.train.items, split.valid.items))
        seen = Interactions.of(users, items, split.train.n_users, split.train.n_items)
        return cls(seen, split.test, split.train if inductive else None)

    def among(self, items: IntArray) -> "RankingTask":
        """The same task for a model that knows ``items`` (increasing) alone: others are neither ranked nor found."""
        histories = None if self.histories is None else self.histories.among(items)
        return RankingTask(self.seen.among(items), self.target.among(items), histories, self.n_relevant)

    def of(self, users: IntArray) -> "RankingTask":
        """The part of the task that is about ``users``."""
        mine = np.zeros(self.target.n_users, dtype=bool)
        mine[users] = True
        return replace(self, target=self.target.take(mine[self.target.users]), wanted=self.n_relevant * mine)

    def score_of(self, model: Scorer) -> ScoreFunction:
        """How ``model``, fitted or in training, scores the users of this task."""
        return model.score if self.histories is None else model.fold_in(self.histories)

    def check(self, train: Interactions) -> None:
        """Whether a model of ``train`` can do this task.

        Raises:
            DataError: It has other items, or other users and the task looks them up by id.
        """
        if train.n_items != self.seen.n_items:
            raise DataError(
                f"the training set has {train.n_items} items, the ranking task {self.seen.n_items}; "
                "both must be over one catalogue"
            )
        if self.histories is None and train.n_users != self.seen.n_users:
            raise DataError(
                f"the training set has {train.n_users} users, the ranking task {self.seen.n_users}; "
                "users that are not in training must be folded in: make the task inductive"
            )

    @property
    def n_relevant(self) -> npt.NDArray[np.int64]:
        """How many items each user has to find, int64 ``[n_users]``."""
        return self.target.user_degree if self.wanted is None else self.wanted

    @cached_property
    def users(self) -> IntArray:
        """Users with something to find, int32 ``[n]``."""
        return np.flatnonzero(self.n_relevant).astype(np.int32)

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
        n_relevant = self.n_relevant[self.users]
        measured = {f"ndcg@{k}": ndcg_at(hits, n_relevant, k) for k in cutoffs}
        return measured | {f"recall@{k}": recall_at(hits, n_relevant, k) for k in cutoffs}
