"""Ranking metrics on arrays of hits; definitions as in RecBole 1.2.1 (tests/reference compares them to 1e-6)."""

import numpy as np
import numpy.typing as npt

from dconrec_core.types import BoolArray

Counts = npt.NDArray[np.int64]
PerUser = npt.NDArray[np.float64]


def recall_at(hits: BoolArray, n_relevant: Counts, k: int) -> PerUser:
    """Share of each user's relevant items among the first ``k``.

    Args:
        hits: Whether the item at each rank is relevant, bool ``[n_users, >= k]``.
        n_relevant: Relevant items per user, at least 1, ``[n_users]``.
        k: Cut-off.

    Returns:
        Recall per user, float64 ``[n_users]``.
    """
    return np.asarray(hits[:, :k].sum(axis=1) / n_relevant)


def ndcg_at(hits: BoolArray, n_relevant: Counts, k: int) -> PerUser:
    """Discounted cumulative gain of the first ``k``, over that of an ideal list of ``min(k, n_relevant)`` hits.

    Args:
        hits: Whether the item at each rank is relevant, bool ``[n_users, >= k]``.
        n_relevant: Relevant items per user, at least 1, ``[n_users]``.
        k: Cut-off.

    Returns:
        NDCG per user, float64 ``[n_users]``.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    return np.asarray(hits[:, :k] @ discount / ideal)
