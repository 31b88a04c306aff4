"""Users' own histories, which inductive models score from and so keep beside their weights."""

import numpy as np
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.models.base import State


def history_state(history: sparse.csr_array) -> Arrays:
    """A binary matrix ``[n_users, n_items]`` as arrays by name."""
    return {
        "history_indptr": history.indptr.astype(np.int64),
        "history_items": history.indices.astype(np.int32),
    }


def history_of(state: State, n_items: int) -> sparse.csr_array:
    """The inverse of ``history_state``; other arrays in ``state`` are passed over."""
    items, indptr = state["history_items"], state["history_indptr"]
    ones = np.ones(len(items), dtype=np.float32)
    return sparse.csr_array((ones, items, indptr), shape=(len(indptr) - 1, n_items))
