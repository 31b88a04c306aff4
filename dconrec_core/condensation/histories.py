"""Real users as the loss of ``synthetic-users`` sees them: what of a history is shown, and what ought to be ranked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.condensation.base import rank_within_user
from dconrec_core.condensation.reader import CPU, Shown
from dconrec_core.types import CandidatePool, FloatArray, IntArray, Interactions

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """A sparse table by rows.

    Args:
        indptr: int64 ``[n_rows + 1]``.
        columns: int32 ``[nnz]``.
        values: float32 ``[nnz]``.
    """

    indptr: Offsets
    columns: IntArray
    values: FloatArray

    def take(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], IntArray, FloatArray]:
        """Entries of ``rows``: their place in ``rows``, column and value."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        place = np.repeat(np.arange(len(rows)), counts)
        first = np.repeat(self.indptr[rows] - np.concatenate(([0], np.cumsum(counts[:-1]))), counts)
        entries = first + np.arange(len(place))
        return place, self.columns[entries], self.values[entries]


@dataclass(frozen=True)
class Lesson:
    """A batch of users, over the items that the set may mention.

    Args:
        shown: What of their histories is shown.
        target: What ought to be ranked beside it, a distribution or less for each user, ``[n, B]``.
    """

    shown: Shown
    target: torch.Tensor

    def loss(self, scores: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the targets in the ranking of the items that are not shown, mean over the users.

        Args:
            scores: ``[n, B]``.
        """
        hidden = scores - 1e4 * self.shown.table
        return -(torch.log_softmax(hidden, dim=0) * self.target).sum() / self.shown.n_users


class Histories:
    """All real users with a history, over the items that the set may mention.

    Args:
        pool: Their interactions and the teacher's best unseen items.
        items: What the set may mention, increasing ids, ``[n]``.
        n_targets: The teacher's items per user that count.
        rank_scale: The weight of the teacher's item at rank r (from 0) is exp(−r / rank_scale).
        device: Where lessons lie.
    """

    def __init__(
        self, pool: CandidatePool, items: IntArray, n_targets: int, rank_scale: float, device: torch.device = CPU
    ) -> None:
        self.device = device
        self.users = np.flatnonzero(pool.train.user_degree).astype(np.int64)
        self.n_items = len(items)
        place = np.full(pool.interactions.n_items, -1, dtype=np.int32)
        place[items] = np.arange(len(items), dtype=np.int32)
        self.place = place  # of every item among ``items``; -1 for the others
        train = pool.train
        self.seen = _rows(train, place, np.ones(len(train), dtype=np.float32))
        unseen, weights = teacher_targets(pool, n_targets, rank_scale)
        self.wanted = _rows(unseen, place, weights)

    def lesson(
        self, users: npt.NDArray[np.int64], hidden: float, hidden_weight: float, rng: np.random.Generator
    ) -> Lesson:
        """Hide a random share of each history, and ask for what is hidden beside the teacher's unseen items.

        Args:
            users: The batch, ``[B]``.
            hidden: Largest share that is hidden; a user's own is uniform below it.
            hidden_weight: Weight of the hidden items; the teacher's have the rest.
            rng: Source of randomness.
        """
        size = len(users)
        rows, columns, _ = self.seen.take(users)
        kept = rng.random(len(rows), dtype=np.float32) >= (hidden * rng.random(size, dtype=np.float32))[rows]
        shown = Shown(rows[kept], columns[kept].astype(np.int64), size, self.n_items, self.device)
        target = torch.zeros(self.n_items, size)
        flat = target.view(-1)
        count = np.maximum(np.bincount(rows[~kept], minlength=size), 1)
        share = (hidden_weight / count).astype(np.float32)
        flat[torch.from_numpy(places(rows[~kept], columns[~kept], size))] = torch.from_numpy(share[rows[~kept]])
        rows, columns, weights = self.wanted.take(users)
        flat[torch.from_numpy(places(rows, columns, size))] = torch.from_numpy((1 - hidden_weight) * weights)
        return Lesson(shown, target.to(self.device))


def places(rows: npt.NDArray[np.int64], columns: IntArray, n_rows: int) -> npt.NDArray[np.int64]:
    """Of entries in a table of columns × rows that lies flat and may be of more than 2³¹ cells."""
    flat: npt.NDArray[np.int64] = columns.astype(np.int64) * n_rows + rows
    return flat


def teacher_targets(pool: CandidatePool, n_targets: int, rank_scale: float) -> tuple[Interactions, FloatArray]:
    """The teacher's best unseen items and their weights, which sum to 1 for each user who has any.

    By rank and not by score, whose scale differs from teacher to teacher.
    """
    pseudo, score = pool.interactions.take(~pool.observed), pool.score[~pool.observed]
    rank = rank_within_user(pseudo, score)
    first = rank < n_targets
    unseen, weights = pseudo.take(first), np.exp(-rank[first] / rank_scale)
    total = np.bincount(unseen.users, weights=weights, minlength=unseen.n_users)
    return unseen, (weights / total[unseen.users]).astype(np.float32)


def worth_mentioning(pool: CandidatePool, n_items: int, n_targets: int, rank_scale: float) -> IntArray:
    """The ``n_items`` items that matter most, by what the teacher proposes and by popularity in equal parts.

    An item that nobody has and nobody is offered is never among them. Increasing ids, int32.
    """
    unseen, weights = teacher_targets(pool, n_targets, rank_scale)
    offered = np.bincount(unseen.items, weights=weights, minlength=unseen.n_items)
    popular = pool.train.item_degree
    value = offered / max(offered.sum(), 1e-12) + popular / max(popular.sum(), 1)
    best = np.lexsort((np.arange(len(value)), -value))[:n_items]
    return np.sort(best[value[best] > 0]).astype(np.int32)


def _rows(pairs: Interactions, place: IntArray, values: FloatArray) -> Rows:
    """``pairs`` with the items that have a place, renumbered by it."""
    kept = place[pairs.items] >= 0
    counts = np.bincount(pairs.users[kept], minlength=pairs.n_users)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Rows(indptr, place[pairs.items[kept]], values[kept])
