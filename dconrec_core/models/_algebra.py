"""Products of sparse matrices, by whichever way is cheaper, and inverses of ridge regressions."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.linalg import lapack

from dconrec_core.kernels import add_rows
from dconrec_core.types import FloatArray

BLOCK_CELLS = 8_000_000  # of what is dense for a moment
SPARSE_COST = 400
"""Of a term of a product of two sparse matrices in float64, in terms of a dense one: 340 to 940 on two busy cores."""
Matrix = npt.NDArray[np.float64]


def with_history(history: sparse.csr_array) -> sparse.csr_array:
    """The rows that are not empty."""
    return history[np.flatnonzero(np.diff(history.indptr))]


def sums_of_rows(history: sparse.csr_array, table: FloatArray) -> FloatArray:
    """A binary matrix ``[n_users, n_items]`` times a dense one ``[n_items, d]``, float32 ``[n_users, d]``."""
    sums = np.empty((history.shape[0], table.shape[1]), dtype=np.float32)
    add_rows(history.indptr, history.indices, np.ascontiguousarray(table, dtype=np.float32), sums)
    return sums


def scaled(
    matrix: sparse.csr_array, columns: npt.NDArray[np.floating], rows: npt.NDArray[np.floating] | None = None
) -> sparse.csr_array:
    """Entries times a number for their column and one for their row, in the precision of ``columns``."""
    data = matrix.data.astype(columns.dtype) * columns[matrix.indices]
    if rows is not None:
        data *= np.repeat(rows, np.diff(matrix.indptr))
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def inner_products(left: sparse.csr_array, right: sparse.csr_array) -> npt.NDArray[Any]:
    """Left rightᵀ as a dense matrix ``[left rows, right rows]``, by whichever kind of product is cheaper."""
    rows, columns, inner = left.shape[0], right.shape[0], left.shape[1]
    result = np.zeros((rows, columns), dtype=np.result_type(left.dtype, right.dtype))
    terms = np.dot(*(np.bincount(matrix.indices, minlength=inner).astype(np.float64) for matrix in (left, right)))
    if terms * SPARSE_COST < float(rows) * columns * inner:
        transposed, step = right.T.tocsr(), max(1, BLOCK_CELLS // max(columns, 1))
        for start in range(0, rows, step):
            result[start : start + step] = (left[start : start + step] @ transposed).toarray()
        return result
    by_column, others = left.tocsc(), right.tocsc()
    step = max(1, BLOCK_CELLS // max(rows, columns, 1))
    for start in range(0, inner, step):
        part = slice(start, start + step)
        result += by_column[:, part].toarray() @ others[:, part].toarray().T
    return result


def range_basis(matrix: sparse.csr_array, width: int, steps: int, rng: np.random.Generator) -> FloatArray:
    """An orthonormal basis of most of the range of a matrix, float32 ``[n_rows, width]``.

    By power steps from Gaussian columns (Halko et al., SIAM Review 2011, arXiv:0909.4061, algorithm 4.4).
    """
    basis = matrix @ rng.standard_normal((matrix.shape[1], width), dtype=np.float32)
    for _ in range(steps):
        basis = matrix @ (matrix.T @ np.linalg.qr(basis)[0])
    return np.asarray(np.linalg.qr(basis)[0])


def left_singular_vectors(tall: Matrix) -> Matrix:
    """Orthonormal columns of the same span, strongest first, of a matrix ``[n, m]`` with few columns.

    By the eigenvectors of its Gram matrix, whose work is two products: a QR or singular value decomposition of 100,000
    × 80 takes ten times as long. The square loses digits: what is a millionth of the strongest or less is left out.

    Returns:
        float64 ``[n, rank]``.
    """
    strength, axes = np.linalg.eigh(tall.T @ tall)
    known = np.flatnonzero(strength > strength.max(initial=0.0) * 1e-12)[::-1]
    return np.asarray(tall @ (axes[:, known] / np.sqrt(strength[known])))


def times(dense: FloatArray, matrix: sparse.csr_array) -> FloatArray:
    """Their product, by rows; SciPy's own is by columns."""
    return np.ascontiguousarray(dense @ matrix)


def ridge_inverse(gram: Matrix, penalty: float, device: torch.device) -> Matrix:
    """(K + λI)⁻¹ of a symmetric positive semi-definite K, by Cholesky in double precision.

    Args:
        gram: K, float64 ``[n, n]``; overwritten.
        penalty: λ > 0.
        device: Where to invert.

    Raises:
        LinAlgError: λ is lost in rounding.
    """
    if not len(gram):
        return gram
    gram.flat[:: len(gram) + 1] += penalty
    least = len(gram) * np.finfo(np.float64).eps * gram.diagonal().max()  # what rounding may leave of a pivot that is 0
    if device.type != "cpu":
        factors, failed = torch.linalg.cholesky_ex(torch.from_numpy(gram).to(device))
        check_inverted(bool(failed) or float(factors.diagonal().min()) ** 2 <= least)
        return np.asarray(torch.cholesky_inverse(factors).cpu().numpy())
    # LAPACK works in place and by columns: the lower triangle of our rows is its upper one.
    factor, broke_at = lapack.dpotrf(gram.T, lower=0, overwrite_a=1, clean=0)
    check_inverted(bool(broke_at) or float(factor.diagonal().min()) ** 2 <= least)
    inverse: Matrix = lapack.dpotri(factor, lower=0, overwrite_c=1)[0].T
    for row in range(len(inverse)):
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    return inverse


def leverages(rows: sparse.csr_array, inverse: Matrix) -> Matrix:
    """(FᵀGF)_jj for each column of F, float64 ``[n_items]``.

    Args:
        rows: F, ``[m, n_items]``.
        inverse: G, ``[m, m]``.
    """
    by_item, leverage = rows.T.tocsr(), np.empty(rows.shape[1])
    step = max(1, BLOCK_CELLS // max(rows.shape[0], 1))
    for start in range(0, len(leverage), step):
        part = by_item[start : start + step]
        products, owner = part @ inverse, np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        weighted = products[owner, part.indices] * part.data
        leverage[start : start + step] = np.bincount(owner, weighted, part.shape[0])
    return leverage


def check_inverted(failed: bool) -> None:
    """Say that a factorisation failed."""
    if failed:
        raise np.linalg.LinAlgError("the Gram matrix is not positive definite in floating point")
