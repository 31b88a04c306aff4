"""Full ranking over the whole catalogue: score, mask what was seen, rank, measure. No sampled candidates."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.errors import DataError
from dconrec_core.kernels import top_k
from dconrec_core.metrics import PerUser, ndcg_at, recall_at
from dconrec_core.types import FloatArray, IntArray, Interactions, Split

ScoreFunction = Callable[[IntArray], FloatArray]
"""Users int32 ``[B]`` to scores float32 ``[B, n_items]``."""

CUTOFFS = (5, 10, 20)
BLOCK_CELLS = 8_000_000  # scores held at once: 32 MB


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
        hits = self._is_target(ranked)
        n_relevant = self.target.user_degree[self.users]
        measured = {f"ndcg@{k}": ndcg_at(hits, n_relevant, k) for k in cutoffs}
        return measured | {f"recall@{k}": recall_at(hits, n_relevant, k) for k in cutoffs}

    def _is_target(self, ranked: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        n_items = self.target.n_items
        keys = self.target.users.astype(np.int64) * n_items + self.target.items
        asked = np.where(ranked >= 0, self.users[:, None].astype(np.int64) * n_items + ranked, -1)
        position = np.searchsorted(keys, asked).clip(max=max(len(keys) - 1, 0))
        return keys[position] == asked if len(keys) else np.zeros(asked.shape, dtype=bool)


def top_items(score: ScoreFunction, seen: Interactions, users: IntArray, k: int) -> npt.NDArray[np.int32]:
    """The ``k`` best items of each user that are not in ``seen``, scored block by block.

    Where a block does not fit into memory it is halved, with a warning; the ranking does not depend on it.

    Args:
        score: What to rank by.
        seen: Masked interactions.
        users: Whom to rank for, int32 ``[n]``.
        k: How many items each.

    Returns:
        Item ids int32 ``[n, k]``, best first, ties by the lower id; −1 where a user has fewer unseen items.

    Raises:
        MemoryError: Not even a single user's scores fit (``torch.OutOfMemoryError`` on a device).
    """
    block, start = max(1, BLOCK_CELLS // seen.n_items), 0
    ranked = np.empty((len(users), k), dtype=np.int32)
    while start < len(users):
        part = users[start : start + block]
        try:
            ranked[start : start + block] = top_k(score(part), seen.indptr, seen.items, part, k)
        except (MemoryError, torch.OutOfMemoryError):
            if len(part) == 1:
                raise
            block = len(part) // 2
            message = (
                f"scores of {len(part)} users x {seen.n_items} items do not fit into memory; going on with {block}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            continue
        start += block
    return ranked
