"""Embedding tables as models keep them: dot-product scores, folding in, state by name, initial values."""

import time
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dconrec_core.errors import NotFittedError
from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import draw_negatives, pair_sketch, shuffle
from dconrec_core.models._algebra import left_singular_vectors
from dconrec_core.models._history import or_popular
from dconrec_core.models.base import State
from dconrec_core.models.fold_in import FoldIn, FoldInConfig
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.training import History
from dconrec_core.types import FloatArray, IntArray, Interactions

OVERSAMPLING, SUBSPACE_STEPS = 16, 3  # of the spectral start; a few per cent of the subspace are no matter


class EmbeddingConfig(FoldInConfig):
    """Settings of models whose users and items start at embeddings of their own."""

    embedding_size: int = Field(64, ge=1)
    start: Literal["spectral", "gaussian"] = "spectral"
    """Where users start: in their directions among the strongest of the training set, or anywhere."""
    init_scale: float = Field(0.3, gt=0)
    """Standard deviation of the users' initial embeddings."""
    item_init_scale: float = Field(0.01, gt=0)
    """The same of the items: small, so that an item is what it was trained to be, not where it happened to start."""


class FactorScores:
    """Scores as dot products of final user and item embeddings; what BPRMF and the graph models share."""

    config: Any
    user_factors: FloatArray | None = None  # [n_users, d]
    item_factors: FloatArray | None = None  # [n_items, d]
    folding: FoldIn | None = None

    @property
    def score(self) -> ScoreFunction:
        """See ``Scorer.score``."""
        users, items, folding = self._fitted("score")
        return or_popular(DotProducts(users, items), (users == 0).all(axis=1), folding.item_degree)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        _, items, folding = self._fitted("fold users in")
        return folding.scores(items, histories)

    def keep(
        self, users: FloatArray, items: FloatArray, train: Interactions, valid: RankingTask | None, history: History
    ) -> None:
        """Take over what was trained, choose how users are folded in, and tell ``history`` what that took and gave."""
        started = time.perf_counter()
        self.user_factors = np.where((train.user_degree > 0)[:, None], users, np.float32(0))  # no row, nothing learned
        self.item_factors = items
        folded = valid is not None and valid.histories is not None
        known = history.best_valid if folded else None  # each look folds users in with the first penalty
        self.folding, quality = FoldIn.of(self.config, train).tuned(self.config.fold_in_penalty, items, valid, known)
        taken = time.perf_counter() - started
        history.seconds += taken
        if folded and quality is not None:
            history.best_valid = quality
            history.seconds_to_best += taken  # the choice is a part of what is as good as that

    def state(self) -> State:
        """The two tables, and how users are folded in."""
        users, items, folding = self._fitted("be saved")
        return {"user_factors": users, "item_factors": items, **folding.state()}

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        self.user_factors = np.asarray(state["user_factors"], dtype=np.float32)
        self.item_factors = np.asarray(state["item_factors"], dtype=np.float32)
        self.folding = FoldIn.of_state(state)

    def _fitted(self, what: str) -> tuple[FloatArray, FloatArray, FoldIn]:
        if self.user_factors is None or self.item_factors is None or self.folding is None:
            raise NotFittedError(f"{type(self).__name__} must be fitted or loaded before it can {what}")
        return self.user_factors, self.item_factors, self.folding


def initial_factors(rng: np.random.Generator, rows: int, size: int, scale: float) -> FloatArray:
    """Gaussian start, float32 ``[rows, size]``, standard deviation ``scale``."""
    return rng.standard_normal((rows, size), dtype=np.float32) * np.float32(scale)


def spectral_rows(train: Interactions, size: int, rng: np.random.Generator, scale: float) -> FloatArray:
    """The users' directions among the ``size`` strongest ones of ``train``, float32 ``[n_users, size]``.

    Rows of the left singular vectors of the interactions, found by subspace iteration, at one length: as long as
    Gaussian rows of standard deviation ``scale`` are on average. So like-minded users start alike and the items' first
    gradients already lie in the subspace that explains most; up to ``size`` users start at right angles. A user without
    interactions starts at 0, as do columns for which there are no more directions.
    """
    matrix = train.csr().astype(np.float64)
    rank = min(size, train.n_users, train.n_items)
    basis = rng.standard_normal((train.n_items, min(rank + OVERSAMPLING, train.n_items)))
    for _ in range(SUBSPACE_STEPS):
        basis = left_singular_vectors(matrix.T @ (matrix @ basis))
    rows = left_singular_vectors(matrix @ basis)[:, :rank] * (train.user_degree > 0)[:, None]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    users = np.zeros((train.n_users, size), dtype=np.float32)
    users[:, : rows.shape[1]] = rows * (scale * np.sqrt(size))
    return users


def initial_tables(
    train: Interactions, config: EmbeddingConfig, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Where users and items start, float32 ``[n_users, d]`` and ``[n_items, d]``."""
    size, scale = config.embedding_size, config.init_scale
    spectral = config.start == "spectral" and len(train) > 0
    users = spectral_rows(train, size, rng, scale) if spectral else initial_factors(rng, train.n_users, size, scale)
    return users, initial_factors(rng, train.n_items, size, config.item_init_scale)


def random_state(rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """State of a kernel's random stream, uint64 ``[1]``."""
    return rng.integers(0, 2**63, size=1, dtype=np.uint64)


class Triplets:
    """The triplets of BPR: every interaction once an epoch, in a new order, with a negative that its user has not.

    Args:
        train: The positives.
        rng: Source of the stream's start.
    """

    def __init__(self, train: Interactions, rng: np.random.Generator) -> None:
        self.train, self.random = train, random_state(rng)
        self.sketch = pair_sketch(train.users, train.items)

    def order(self) -> IntArray:
        """A new order of the interactions, int32 ``[n]``."""
        order = np.arange(len(self.train), dtype=np.int32)
        shuffle(self.random, order)
        return order

    def negatives(self, batch: IntArray) -> IntArray:
        """An item that the user has not, for each interaction of ``batch``, int32."""
        negatives = np.empty(len(batch), dtype=np.int32)
        train = self.train
        draw_negatives(
            batch, train.users, train.items, train.indptr, self.sketch, self.random, train.n_items, negatives
        )
        return negatives

    def epoch(self) -> IntArray:
        """A whole epoch: users, positives and negatives, int32 ``[3, n]``."""
        order = self.order()
        return np.stack((self.train.users[order], self.train.items[order], self.negatives(order)))
