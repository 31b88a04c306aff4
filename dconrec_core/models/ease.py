"""EASE: a linear item–item autoencoder in closed form (Steck, WWW 2019, arXiv:1905.03375). Strong and cheap."""

import time
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from scipy import sparse
from scipy.linalg import lapack

from dconrec_core.device import resolve_device
from dconrec_core.errors import NotFittedError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import entries_by_item, inverse_to_weights
from dconrec_core.kernels import gram as compiled_gram
from dconrec_core.models._history import history_of, history_state
from dconrec_core.models.base import State
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import Config
from dconrec_core.training import CRITERION, History
from dconrec_core.types import FloatArray, IntArray, Interactions

SAFE_CONDITION = 1e6  # ML-1M, λ = 1: 7e5 gives errors of 2e-5 in float32


class EASEConfig(Config):
    """Settings of EASE."""

    regularization: list[PositiveFloat] = Field([100.0, 200.0, 300.0, 500.0, 1000.0], min_length=1)
    """Ridge penalties λ; the best on valid is kept, the first without a validation task."""


class EASE:
    """Scores are a user's own history times a learned item × item matrix with a zero diagonal."""

    def __init__(self, config: EASEConfig) -> None:
        self.config = config
        self.weights: FloatArray | None = None  # [n_items, n_items]
        self.history: sparse.csr_array | None = None  # [n_users, n_items]

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """Solve for each λ and keep the best on valid; see ``Recommender.fit``. One row of the history a λ."""
        started, history = time.perf_counter(), History()
        self.history = train.csr()
        device = resolve_device(options.device)
        gram = lower_gram(train)
        penalties = self.config.regularization if valid is not None else self.config.regularization[:1]
        best: FloatArray | None = None
        for number, penalty in enumerate(penalties, start=1):
            last = number == len(penalties)  # the Gram matrix is not needed any more
            self.weights = ease_weights(gram if last else gram.copy(), penalty, device)
            row = {"epoch": float(number), "regularization": penalty}
            if valid is not None:
                row[f"valid_{CRITERION}"] = valid.measure(self.score, (10,))[CRITERION]
            quality = row.get(f"valid_{CRITERION}", 0.0)
            if best is None or quality > history.best_valid:
                best, history.best_epoch, history.best_valid = self.weights, number, quality
            history.rows.append(row)
            options.on_epoch(EpochEvent(options.label, number, len(penalties), row))
        self.weights = best
        history.seconds = history.seconds_to_best = time.perf_counter() - started
        return history

    def score(self, users: IntArray) -> FloatArray:
        """Scores of every item for ``users``: float32 ``[len(users), n_items]``."""
        if self.weights is None or self.history is None:
            raise NotFittedError("EASE must be fitted or loaded before it can score")
        return np.asarray(self.history[users] @ self.weights, dtype=np.float32)

    def state(self) -> State:
        """The item × item weights and the users' histories."""
        if self.weights is None or self.history is None:
            raise NotFittedError("EASE must be fitted or loaded before it can be saved")
        return {"weights": self.weights, **history_state(self.history)}

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        self.weights = np.asarray(state["weights"], dtype=np.float32)
        self.history = history_of(state, len(self.weights))

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """λ is chosen inside ``fit``."""
        return [{}]


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
    if broke_at:
        raise TrainingError(f"regularization {penalty} is too small to invert the items' Gram matrix; raise it")
    inverse, _ = getattr(lapack, f"{kind}potri")(factor, lower=0, overwrite_c=1)
    weights = inverse.T
    inverse_to_weights(weights)
    return np.asarray(weights, dtype=np.float32)


def invert_on_device(lower: torch.Tensor) -> FloatArray:
    """``ease_weights`` by torch, from the lower triangle of XᵀX + λI."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(lower))
    weights = inverse / -inverse.diagonal()
    return np.asarray(weights.fill_diagonal_(0).float().cpu().numpy())
