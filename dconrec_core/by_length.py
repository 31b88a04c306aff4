"""Exact ranking by dot products without computing them all: items from the longest down, until no other can be better.

|user · item| ≤ |user| · |item|, so a user is done as soon as that bound for the longest item left is below the user's
k-th best product so far (Teflioudi et al., LEMP, SIGMOD 2015). Popular items are long: on sparse data most users are
done after a few of a hundred blocks.
"""

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.jit import jit
from dconrec_core.top_k import insert
from dconrec_core.types import FloatArray, IntArray, Interactions

BLOCK = 512  # items whose products are computed at once
CHUNK = 64  # products that are compared with the bound before any of them is looked at


class ByLength:
    """Items in the order of their lengths.

    Args:
        items: float32 ``[n_items, d]``, finite.
    """

    def __init__(self, items: FloatArray) -> None:
        lengths = np.linalg.norm(items.astype(np.float64), axis=1)
        order = np.argsort(-lengths, kind="stable")
        self.items, self.ids, self.place = items[order], order.astype(np.int32), np.empty(len(items), dtype=np.int32)
        self.place[order] = np.arange(len(items), dtype=np.int32)
        # A product in single precision is off by less than d roundings of |user| · |item|.
        self.lengths = lengths[order] * (1 + 2 * items.shape[1] * float(np.finfo(np.float32).eps))

    def top(self, rows: FloatArray, seen: Interactions, users: IntArray, k: int) -> npt.NDArray[np.int32]:
        """The ``k`` ≥ 1 best unseen items of each row, as ``top_k`` finds them by the products.

        Args:
            rows: The users, float32 ``[B, d]``, finite.
            seen: What to leave out.
            users: Whose row is which, ``[B]``.
            k: How many.
        """
        values = np.full((len(rows), k), -np.inf, dtype=np.float32)
        ranked, found = np.full((len(rows), k), -1, dtype=np.int32), np.zeros(len(rows), dtype=np.int64)
        something = rows.any(axis=1)
        _first_unseen(seen.indptr, seen.items, users, np.flatnonzero(~something), len(self.ids), ranked)
        left, lengths = np.flatnonzero(something), np.linalg.norm(rows.astype(np.float64), axis=1)
        for start in range(0, len(self.ids), BLOCK):
            left = left[~(lengths[left] * self.lengths[start] < values[left, -1])]  # -inf while fewer than k are found
            if not len(left):
                break
            items = torch.from_numpy(self.items[start : start + BLOCK])
            scores = (torch.from_numpy(rows[left]) @ items.T).numpy()
            _merge(
                scores, start, self.ids, self.place, seen.indptr, seen.items, users[left], left, values, ranked, found
            )
        return ranked


@jit
def _first_unseen(seen_indptr, seen_items, users, rows, n_items, ranked):
    """Rank for each of ``rows``, of whom all products are 0, the unseen items of the lowest ids."""
    for row in rows:
        seen = seen_items[seen_indptr[users[row]] : seen_indptr[users[row] + 1]]
        count, passed = 0, 0
        for item in range(n_items):
            if count == ranked.shape[1]:
                break
            if passed < len(seen) and seen[passed] == item:
                passed += 1
            else:
                ranked[row, count] = item
                count += 1


@jit
def _merge(scores, start, ids, place, seen_indptr, seen_items, users, rows, values, ranked, found):
    """Insert a block's unseen items into the best of each row so far; ``scores`` of seen ones become NaN."""
    width, k = scores.shape[1], values.shape[1]
    for number in range(len(rows)):
        row, mine = rows[number], scores[number]
        for seen in range(seen_indptr[users[number]], seen_indptr[users[number] + 1]):
            there = place[seen_items[seen]] - start
            if 0 <= there < width:
                mine[there] = np.nan
        count = found[row]
        bound = values[row, k - 1] if count == k else np.float32(-np.inf)
        for first in range(0, width, CHUNK):
            part = mine[first : first + CHUNK]
            reached = 0
            for lane in range(part.shape[0]):
                reached += part[lane] >= bound
            if reached == 0:
                continue
            for lane in range(part.shape[0]):
                if part[lane] >= bound:
                    count = insert(ids[start + first + lane], part[lane], ranked[row], values[row], count)
                    bound = values[row, k - 1] if count == k else np.float32(-np.inf)
        found[row] = count
