"""EASE: a linear item–item autoencoder in closed form (Steck, WWW 2019, arXiv:1905.03375). Strong and cheap."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from scipy import sparse
from scipy.linalg import lapack

from dconrec_core.kernels import entries_by_item, inverse_to_weights
from dconrec_core.kernels import gram as compiled_gram
from dconrec_core.models._algebra import (
    BLOCK_CELLS,
    Matrix,
    check_penalty,
    inner_products,
    ridge_inverse,
    scaled,
    with_history,
)
from dconrec_core.models._linear import ItemSpace, LinearAutoencoder, LinearConfig, Solution, UserSpace
from dconrec_core.models.base import State
from dconrec_core.types import FloatArray, Interactions

SAFE_CONDITION = 1e6  # ML-1M, λ = 1: 7e5 gives errors of 2e-5 in float32


class EASEConfig(LinearConfig):
    """Settings of EASE."""

    regularization: list[PositiveFloat] = Field([100.0, 200.0, 300.0, 500.0, 1000.0], min_length=1)
    """Ridge penalties λ; the best on valid is kept, the first without a validation task."""


class EASE(LinearAutoencoder):
    """Scores are a user's own history times a learned item × item matrix with a zero diagonal.

    With far fewer users than items that matrix is never made: of the training set C, with G = (CCᵀ + λI)⁻¹ and
    h_j = (CᵀGC)_jj, its entries are (CᵀGC)_ij / (1 − h_j), and a history times it is (x CᵀGC − x ∘ h) / (1 − h).
    """

    def solver(self, train: Interactions, device: torch.device) -> Callable[[float, bool], Solution]:
        """See ``LinearAutoencoder.solver``."""
        rows = with_history(train.csr())
        if 2 * rows.shape[0] < train.n_items:
            users = inner_products(rows.astype(np.float64), rows.astype(np.float64))
            return lambda penalty, last: ease_by_users(rows, users if last else users.copy(), penalty, device)
        gram = lower_gram(train)
        return lambda penalty, last: ItemSpace(ease_weights(gram if last else gram.copy(), penalty, device))

    def solution_of(self, state: State, history: sparse.csr_array) -> Solution:
        """See ``LinearAutoencoder.solution_of``."""
        if "weights" in state:
            return ItemSpace(np.asarray(state["weights"], dtype=np.float32))
        return _user_space(with_history(history), np.asarray(state["inverse"]), np.asarray(state["leverage"]))

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """λ is chosen inside ``fit``."""
        return [{}]


def ease_by_users(rows: sparse.csr_array, gram: Matrix, penalty: float, device: torch.device) -> UserSpace:
    """The same model from the inverse of a matrix over the users.

    Args:
        rows: C, histories that are not empty, float32 ``[m, n_items]``.
        gram: CCᵀ, float64 ``[m, m]``; overwritten.
        penalty: λ > 0.
        device: Where to invert.

    Raises:
        TrainingError: λ is lost in rounding.
    """
    inverse = ridge_inverse(gram, penalty, device)
    by_item, leverage = rows.T.tocsr(), np.empty(rows.shape[1])
    step = max(1, BLOCK_CELLS // max(rows.shape[0], 1))
    for start in range(0, len(leverage), step):
        part = by_item[start : start + step]
        products, owner = part @ inverse, np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        leverage[start : start + step] = np.bincount(owner, products[owner, part.indices], part.shape[0])
    check_penalty(penalty, bool((leverage >= 1).any()))
    return _user_space(rows, inverse.astype(np.float32), leverage)


def _user_space(rows: sparse.csr_array, inverse: FloatArray, leverage: Matrix) -> UserSpace:
    left_out = 1 / (1 - leverage)
    return UserSpace(
        inputs=rows,
        inverse=inverse,
        outputs=scaled(rows, left_out.astype(np.float32)),
        own=(leverage * left_out).astype(np.float32),
        solved={"inverse": inverse, "leverage": leverage},
    )


def lower_gram(train: Interactions) -> FloatArray:
    """XᵀX of the user × item matrix X, float32 ``[n_items, n_items]``, exact; the upper triangle is 0."""
    product = np.zeros((train.n_items, train.n_items), dtype=np.float32)
    item_ptr = np.concatenate(([0], np.cumsum(train.item_degree)))
    by_item = entries_by_item(train.items, item_ptr)
    compiled_gram(train.indptr, train.items.view(np.uint32), train.users, by_item, item_ptr, product)
    return product


def ease_weights(gram: FloatArray, penalty: float, device: torch.device) -> FloatArray:
    """B = I − P diag(P)^−1 with P = (XᵀX + λI)^−1, by Cholesky; EASE's equation 8.

    In float32, which is exact to 1e-4 as long as the condition number, bounded by the trace over λ, is moderate; in
    float64 beyond that.

    Args:
        gram: Lower triangle of XᵀX, float32 ``[n_items, n_items]``; overwritten.
        penalty: λ > 0.
        device: Where to invert.

    Returns:
        float32 ``[n_items, n_items]``.

    Raises:
        TrainingError: The matrix is not positive definite in double precision, for a penalty next to 0.
    """
    exact = bool(gram.trace(dtype=np.float64) > penalty * SAFE_CONDITION)
    gram.flat[:: len(gram) + 1] += penalty
    if device.type != "cpu":
        return invert_on_device(torch.from_numpy(gram).to(device, torch.float64 if exact else torch.float32))
    kind, work = ("d", gram.astype(np.float64)) if exact else ("s", gram)
    # LAPACK works in place and by columns: the lower triangle of our rows is its upper one.
    factor, broke_at = getattr(lapack, f"{kind}potrf")(work.T, lower=0, overwrite_a=1, clean=0)
    check_penalty(penalty, bool(broke_at))
    inverse, _ = getattr(lapack, f"{kind}potri")(factor, lower=0, overwrite_c=1)
    weights = inverse.T
    inverse_to_weights(weights)
    return np.asarray(weights, dtype=np.float32)


def invert_on_device(lower: torch.Tensor) -> FloatArray:
    """``ease_weights`` by torch, from the lower triangle of XᵀX + λI."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(lower))
    weights = inverse / -inverse.diagonal()
    return np.asarray(weights.fill_diagonal_(0).float().cpu().numpy())
