"""A linear graph filter: histories smoothed over the user–item graph, with no training (GF-CF, Shen et al., CIKM 2021).

arXiv:2108.07567. A strong model of large, sparse catalogues, for which an item × item matrix is too large.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Self

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeFloat
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask
from dconrec_core.models._algebra import range_basis, scaled
from dconrec_core.models._history import HistoryModel, history_of, history_state, item_degree_of
from dconrec_core.models.base import State
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import BLOCK_CELLS, ScoreFunction
from dconrec_core.registry import Config
from dconrec_core.rng import numpy_rng
from dconrec_core.training import CRITERION, History
from dconrec_core.types import FloatArray, IntArray, Interactions

OVERSAMPLING, POWER_STEPS = 16, 3
USERS_TO_CHOOSE_BY = 3_000
"""Users of valid by whom settings are chosen, drawn at random where there are more."""
REACHED_CELLS = 16_000_000
"""Users × histories that are dense at once while scores are made: 128 MB, and as much again on the way there."""


class GraphFilterConfig(Config):
    """Settings of the graph filter."""

    input_exponent: FiniteFloat = 0.0
    """Weight of an item in a history: its popularity to minus this power, a in the formulas."""
    output_exponent: list[FiniteFloat] = Field([0.25, 0.5], min_length=1)
    """Weight of an item's score: its popularity to this power, b; the best on valid is kept."""
    ideal_weight: list[NonNegativeFloat] = Field([0.0, 0.3], min_length=1)
    """Weight α of the low-rank part; the best on valid is kept."""
    rank: int = Field(64, ge=1)
    """Singular vectors of the low-rank part."""


@dataclass(frozen=True)
class Filter:
    """Scores x D^-a (R̃ᵀR̃ + α V Vᵀ) D^b of a history x, where D holds the items' degrees.

    Args:
        graph: R̃, the training set with each entry divided by the root of its user's and of its item's degree.
        vectors: V, the leading right singular vectors of R̃, float32 ``[n_items, ≤ rank]``.
        degree: Of the items, at least 1; float32 ``[n_items]``.
        input_exponent: a.
        output_exponent: b.
        ideal_weight: α.
    """

    graph: sparse.csr_array
    vectors: FloatArray
    degree: FloatArray
    input_exponent: float
    output_exponent: float
    ideal_weight: float

    @classmethod
    def of(cls, rows: sparse.csr_array, vectors: FloatArray, numbers: tuple[float, float, float]) -> Self:
        """From the binary training set."""
        degree = np.maximum(item_degree_of(rows), 1).astype(np.float32)
        return cls(normalised(rows), vectors, degree, *numbers)

    def scores(self, history: sparse.csr_array) -> ScoreFunction:
        """Scores of the rows of a binary matrix ``[n_users, n_items]``."""

        def score(users: IntArray) -> FloatArray:
            return self.mixed(*self.parts(history[users]))

        return score

    def parts(self, history: sparse.csr_array, both: bool = False) -> tuple[FloatArray, FloatArray | None]:
        """X D^-a R̃ᵀR̃, and, where α > 0 or ``both`` are wanted, x D^-a V Vᵀ; float32 ``[B, n_items]`` each.

        A dense block times the sparse graph, whose cost and memory do not depend on how far the history spreads. What
        a history reaches is as long as there are users, so a block of many short rows is taken in parts.
        """
        weighted = scaled(history, self.degree**-self.input_exponent)
        smooth, step = np.empty(weighted.shape, dtype=np.float32), max(1, REACHED_CELLS // max(self.graph.shape[0], 1))
        for start in range(0, len(smooth), step):
            reached = (self.graph @ weighted[start : start + step].T.tocsr()).toarray()
            smooth[start : start + step] = (self.graph.T @ reached).T
        is_wanted = both or self.ideal_weight > 0
        return smooth, (weighted @ self.vectors) @ self.vectors.T if is_wanted else None

    def mixed(self, smooth: FloatArray, ideal: FloatArray | None) -> FloatArray:
        """Scores by both parts."""
        total = smooth if ideal is None else smooth + np.float32(self.ideal_weight) * ideal
        return np.asarray(total * self.degree**self.output_exponent, dtype=np.float32)


class GraphFilter(HistoryModel[Filter]):
    """Scores are linear in a user's own history."""

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """Factorise once and keep the best weights on valid; see ``Recommender.fit``. One row of the history a choice.

        With many users valid means ``USERS_TO_CHOOSE_BY`` of them, the same whatever the settings, so that trials of a
        search are compared on the same users; beside other models, which are measured on all, that is an estimate.
        """
        started, history, config = time.perf_counter(), History(), self.config
        resolve_device(options.device)
        if valid is not None:
            valid.check(train)
        rng, choice = numpy_rng(options.seed, "graph-filter"), numpy_rng(options.seed, "graph-filter", "choice")
        self.history = train.csr()
        vectors = singular_vectors(normalised(self.history), config.rank, rng)
        pairs = list(product(config.output_exponent, config.ideal_weight)) if valid is not None else []
        pairs = pairs or [(config.output_exponent[0], config.ideal_weight[0])]
        filters = [Filter.of(self.history, vectors, (config.input_exponent, *pair)) for pair in pairs]
        self.solution = filters[0]
        qualities = [math.nan] if valid is None else measured(filters, self.history, valid, choice)
        history.best_epoch, history.best_valid = 1, qualities[0]
        for number, (candidate, quality) in enumerate(zip(filters, qualities, strict=True), start=1):
            if quality > history.best_valid:
                self.solution, history.best_epoch, history.best_valid = candidate, number, quality
            exponent, weight = pairs[number - 1]
            row = {"epoch": float(number), "output_exponent": exponent, "ideal_weight": weight}
            if valid is not None:
                row[f"valid_{CRITERION}"] = quality
            history.rows.append(row)
            options.on_epoch(EpochEvent(options.label, number, len(filters), row))
        history.seconds = history.seconds_to_best = time.perf_counter() - started
        return history

    def scores_of(self, solution: Filter, history: sparse.csr_array) -> ScoreFunction:
        """See ``HistoryModel.scores_of``."""
        return solution.scores(history)

    def state(self) -> Arrays:
        """The training set, from which the graph follows, the singular vectors and the chosen numbers."""
        solution, history = self._fitted("be saved")
        numbers = np.array([solution.input_exponent, solution.output_exponent, solution.ideal_weight])
        return {"vectors": solution.vectors, "numbers": numbers, **history_state(history)}

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        vectors = np.asarray(state["vectors"], dtype=np.float32)
        self.history = history_of(state, len(vectors))
        first, second, third = (float(number) for number in state["numbers"])
        self.solution = Filter.of(self.history, vectors, (first, second, third))

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """The two main weights are chosen inside ``fit``."""
        return [{}, {"input_exponent": 0.25}, {"rank": 256}]


def normalised(rows: sparse.csr_array) -> sparse.csr_array:
    """R̃ = D_u^-1/2 R D_i^-1/2 of a binary R, float32."""
    items, users = (np.maximum(degree, 1.0) ** -0.5 for degree in (item_degree_of(rows), np.diff(rows.indptr)))
    return scaled(rows, items.astype(np.float32), users.astype(np.float32))


def singular_vectors(matrix: sparse.csr_array, rank: int, rng: np.random.Generator) -> FloatArray:
    """The leading right singular vectors by a randomised SVD, float32 ``[n_columns, ≤ rank]``."""
    rank = min(rank, *matrix.shape)
    basis = range_basis(matrix, min(rank + OVERSAMPLING, *matrix.shape), POWER_STEPS, rng)
    return np.ascontiguousarray(np.linalg.svd(matrix.T @ basis, full_matrices=False)[0][:, :rank], dtype=np.float32)


def measured(
    filters: list[Filter], history: sparse.csr_array, valid: RankingTask, rng: np.random.Generator
) -> list[float]:
    """NDCG@10 of each on valid; they may differ in ``mixed`` alone, so that the parts are computed once for all."""
    rows = history if valid.histories is None else valid.histories.csr()
    users, totals, popularity = valid.users, np.zeros(len(filters)), item_degree_of(history).astype(np.float32)
    if len(users) > USERS_TO_CHOOSE_BY:
        users = np.sort(rng.choice(users, USERS_TO_CHOOSE_BY, replace=False))
    for part in _blocks(users, max(1, BLOCK_CELLS // history.shape[1])):
        smooth, ideal = filters[0].parts(rows[part], both=True)
        empty, here = np.diff(rows[part].indptr) == 0, valid.of(part)
        for number, candidate in enumerate(filters):
            scores = candidate.mixed(smooth, ideal)
            scores[empty] = popularity
            totals[number] += here.per_user(partial(_rows_of, scores), (10,))[CRITERION].sum()
    return [float(total) for total in totals / max(len(users), 1)]


def _rows_of(table: FloatArray, _: IntArray) -> FloatArray:
    """All of a block that was scored before."""
    return table


def _blocks(users: IntArray, size: int) -> Iterator[IntArray]:
    return (users[start : start + size] for start in range(0, len(users), size))
