"""EASE: a linear item–item autoencoder in closed form (Steck, WWW 2019, arXiv:1905.03375). Strong and cheap."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveFloat
from scipy import sparse
from scipy.linalg import lapack

from dconrec_core.errors import TrainingError
from dconrec_core.kernels import entries_by_item, inverse_to_weights
from dconrec_core.kernels import gram as compiled_gram
from dconrec_core.models._algebra import (
    Matrix,
    check_inverted,
    inner_products,
    leverages,
    ridge_inverse,
    scaled,
    with_history,
)
from dconrec_core.models._history import Degrees, item_degree_of
from dconrec_core.models._linear import ItemSpace, LinearAutoencoder, LinearConfig, Solution, UserSpace
from dconrec_core.models.base import State
from dconrec_core.types import FloatArray, Interactions

MOST_ITEMS, MOST_USERS = 45_000, 30_000
"""Items, in single precision, or users, in double, of which a square matrix is still inverted: 8 GB, and as much again
for a penalty's copy and for the best so far."""
SAFE_CONDITION = 1e6  # ML-1M, λ = 1: 7e5 gives errors of 2e-5 in float32


class EASEConfig(LinearConfig):
    """Settings of EASE."""

    regularization: list[PositiveFloat] = Field([100.0, 200.0, 300.0, 500.0, 1000.0], min_length=1)
    """Ridge penalties λ; the best on valid is kept, the first without a validation task."""
    input_exponent: FiniteFloat = 0.0
    """Weight of an item as a predictor and as what is predicted: its popularity in the training set to minus this
    power, a in the formulas. 0 is EASE as published."""
    output_exponent: FiniteFloat = 0.0
    """Weight of an item's score: its popularity to minus this power, b; equal to a, a score is a binary history times
    the weights that EASE learns from the weighted interactions."""


class EASE(LinearAutoencoder):
    """Scores are a user's own history times a learned item × item matrix with a zero diagonal.

    Items are weighted by popularity p: EASE learns from F = C D^-a of the training set C, D = diag(p + 1), and its
    scores are weighted by (p + 1)^(a − b), as in the ridge autoencoder.

    With far fewer users than items that matrix is never made: with G = (FFᵀ + λI)⁻¹ and h_j = (FᵀGF)_jj,
    its entries are (FᵀGF)_ij / (1 − h_j), and a history times it is (x FᵀGF − x ∘ h) / (1 − h).
    """

    def solver(self, train: Interactions, device: torch.device) -> Callable[[float, bool], Solution]:
        """See ``LinearAutoencoder.solver``.

        Raises:
            TrainingError: There are too many items, or, where it is solved over the users, too many users.
        """
        rows = with_history(train.csr())
        weight, by_score = self._weights(train.item_degree)
        n_users, n_items = rows.shape[0], train.n_items
        over_users = 2 * n_users < n_items or (n_users <= MOST_USERS and n_items > MOST_ITEMS)
        size, most, what = (n_users, MOST_USERS, "users") if over_users else (n_items, MOST_ITEMS, "items")
        if size > most:
            raise TrainingError(
                f"ease inverts a matrix over {size} {what}, at most {most}; choose graph-filter, which inverts none, "
                "or a model of embeddings"
            )
        if over_users:
            rows = self.inputs(rows)
            users = inner_products(rows, rows)
            return lambda penalty, last: ease_by_users(rows, users if last else users.copy(), penalty, device, by_score)
        gram = lower_gram(train)
        if self.config.input_exponent:
            gram *= weight.astype(np.float32)
            gram *= weight.astype(np.float32)[:, None]

        def by_items(penalty: float, last: bool) -> Solution:
            weights = ease_weights(gram if last else gram.copy(), penalty, device)
            if self.config.input_exponent != self.config.output_exponent:
                weights *= by_score.astype(np.float32)
            return ItemSpace(weights)

        return by_items

    def inputs(self, rows: sparse.csr_array) -> sparse.csr_array:
        """See ``LinearAutoencoder.inputs``."""
        return scaled(rows, self._weights(item_degree_of(rows))[0])

    def solution_of(self, state: State, history: sparse.csr_array) -> Solution:
        """See ``LinearAutoencoder.solution_of``."""
        if "weights" in state:
            return ItemSpace(np.asarray(state["weights"], dtype=np.float32))
        _, by_score = self._weights(item_degree_of(history))
        rows = self.inputs(with_history(history))
        return _user_space(rows, np.asarray(state["inverse"]), np.asarray(state["leverage"]), by_score)

    def _weights(self, item_degree: Degrees) -> tuple[Matrix, Matrix]:
        """(p + 1)^-a and (p + 1)^(a − b), float64 ``[n_items]``."""
        config: EASEConfig = self.config
        popularity: Matrix = item_degree.astype(np.float64) + 1
        by_score: Matrix = popularity ** (config.input_exponent - config.output_exponent)
        return popularity**-config.input_exponent, by_score

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """λ is chosen inside ``fit``, from smaller ones where few users are to learn from."""
        few = [1.0, 3.0, 10.0, 30.0, 100.0]
        return [
            {},
            {"regularization": few, "input_exponent": 0.4, "output_exponent": 0.4},
            {"regularization": few, "input_exponent": 0.5, "output_exponent": 0.3},
            {"input_exponent": 0.4, "output_exponent": 0.2},
            {"input_exponent": 0.2, "output_exponent": 0.1},
        ]


def ease_by_users(
    rows: sparse.csr_array, gram: Matrix, penalty: float, device: torch.device, by_score: Matrix
) -> UserSpace:
    """The same model from the inverse of a matrix over the users.

    Args:
        rows: F, histories that are not empty, weighted, float64 ``[m, n_items]``.
        gram: FFᵀ, float64 ``[m, m]``; overwritten.
        penalty: λ > 0.
        device: Where to invert.
        by_score: What each item's scores are multiplied by, ``[n_items]``.

    Raises:
        LinAlgError: λ is lost in rounding.
    """
    inverse = ridge_inverse(gram, penalty, device)
    leverage = leverages(rows, inverse)
    check_inverted(bool((leverage >= 1).any()))
    return _user_space(rows, inverse.astype(np.float32), leverage, by_score)


def _user_space(rows: sparse.csr_array, inverse: FloatArray, leverage: Matrix, by_score: Matrix) -> UserSpace:
    left_out = by_score / (1 - leverage)
    rows = rows.astype(np.float32)
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
        LinAlgError: The matrix is not positive definite in double precision, for a penalty next to 0.
    """
    exact = bool(gram.trace(dtype=np.float64) > penalty * SAFE_CONDITION)
    kind, work = ("d", gram.astype(np.float64)) if exact else ("s", gram)
    work.flat[:: len(work) + 1] += penalty
    if device.type != "cpu":
        return invert_on_device(torch.from_numpy(work).to(device))
    # LAPACK works in place and by columns: the lower triangle of our rows is its upper one.
    factor, broke_at = getattr(lapack, f"{kind}potrf")(work.T, lower=0, overwrite_a=1, clean=0)
    check_inverted(bool(broke_at))
    inverse, _ = getattr(lapack, f"{kind}potri")(factor, lower=0, overwrite_c=1)
    weights = inverse.T
    inverse_to_weights(weights)
    return np.asarray(weights, dtype=np.float32)


def invert_on_device(lower: torch.Tensor) -> FloatArray:
    """``ease_weights`` by torch, from the lower triangle of XᵀX + λI."""
    factors, failed = torch.linalg.cholesky_ex(lower)
    check_inverted(bool(failed))
    inverse = torch.cholesky_inverse(factors)
    weights = inverse / -inverse.diagonal()
    return np.asarray(weights.fill_diagonal_(0).float().cpu().numpy())
