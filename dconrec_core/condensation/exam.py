"""What a set of ``synthetic-users`` is worth on valid, at the cost of the items that it mentions and not of all."""

import numpy as np

from dconrec_core.kernels import contains
from dconrec_core.metrics import ndcg_at
from dconrec_core.ranking import DotProducts, top_items
from dconrec_core.types import FloatArray, IntArray, Interactions

CUTOFF = 10


class Exam:
    """Ranks the items that the set may mention; the others cannot be found, and count as missed.

    A whole large catalogue would be ranked at many times the cost, for items whose scores are all 0.

    Args:
        train: Histories of the real users, masked out of the ranking.
        valid: What they should find.
        items: What the set may mention, increasing ids, ``[n]``.
    """

    def __init__(self, train: Interactions, valid: Interactions, items: IntArray) -> None:
        place = np.full(train.n_items, -1, dtype=np.int32)
        place[items] = np.arange(len(items), dtype=np.int32)
        kept = place[train.items] >= 0
        self.seen = Interactions(train.users[kept], place[train.items[kept]], train.n_users, len(items))
        self.valid, self.items = valid, np.append(items, np.int32(-1))  # the last stands for no item
        self.users = np.flatnonzero(valid.user_degree).astype(np.int32)

    def quality(self, inputs: FloatArray, outputs: FloatArray) -> float:
        """Mean NDCG@10 of the scores x Gᵀ Z, with G and Z float32 ``[m, n]``."""
        if not len(self.users):
            return 0.0
        users = np.ascontiguousarray(self.seen.csr() @ inputs.T, dtype=np.float32)
        ranked = top_items(DotProducts(users, np.ascontiguousarray(outputs.T)), self.seen, self.users, CUTOFF)
        hits = contains(self.valid.indptr, self.valid.items, self.users, self.items[ranked])
        return float(ndcg_at(hits, self.valid.user_degree[self.users], CUTOFF).mean())
