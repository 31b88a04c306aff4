"""Where ``synthetic-users`` starts: groups of like-minded real users, one made-up user each."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dconrec_core.condensation.histories import Rows
from dconrec_core.models._algebra import range_basis
from dconrec_core.types import FloatArray

POWER_STEPS, KMEANS_STEPS = 2, 12


def embed(table: sparse.csr_array, rank: int, rng: np.random.Generator) -> FloatArray:
    """Rows in the space of the leading singular vectors, scaled to length 1: float32 ``[n_rows, ≤ rank]``."""
    rank = min(rank, *table.shape)
    basis = range_basis(table, rank, POWER_STEPS, rng)
    left, values, _ = np.linalg.svd((table.T @ basis).T, full_matrices=False)
    return _to_length_1((basis @ (left * values)).astype(np.float32))


def groups(points: FloatArray, n_groups: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Spherical k-means of points of length 1: the group of each, ``[n]``. An empty group starts anew at a point."""
    centres = points[rng.choice(len(points), n_groups, replace=False)]
    for _ in range(KMEANS_STEPS):
        nearest = (points @ centres.T).argmax(axis=1)
        member = sparse.csr_array(
            (np.ones(len(points), np.float32), (nearest, np.arange(len(points)))), shape=(n_groups, len(points))
        )
        centres = np.asarray(member @ points)
        empty = np.flatnonzero(np.bincount(nearest, minlength=n_groups) == 0)
        centres[empty] = points[rng.choice(len(points), len(empty), replace=False)]
        centres = _to_length_1(centres)
    return np.asarray((points @ centres.T).argmax(axis=1))


def starting_logits(
    rows: Rows, users: npt.NDArray[np.int64], n_items: int, n_groups: int, rank: int, rng: np.random.Generator
) -> FloatArray:
    """How much each group of users goes for each item, standardised over the table: float32 ``[n_groups, n_items]``."""
    whole = sparse.csr_array((rows.values, rows.columns, rows.indptr), shape=(len(rows.indptr) - 1, n_items))
    table = sparse.csr_array(whole[users])
    group = groups(embed(table, rank, rng), n_groups, rng)
    size = np.maximum(np.bincount(group, minlength=n_groups), 1)
    member = sparse.csr_array(
        ((1 / size[group]).astype(np.float32), (group, np.arange(len(users)))), shape=(n_groups, len(users))
    )
    mean = np.asarray((member @ table).todense(), dtype=np.float32)
    return np.asarray((mean - mean.mean()) / max(float(mean.std()), 1e-12), dtype=np.float32)


def _to_length_1(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12)))
