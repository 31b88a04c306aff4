"""What linear autoencoders share: a search over ridge penalties, solved per item or, for few users, per user.

By the identity (FᵀF + λI)⁻¹Fᵀ = Fᵀ(FFᵀ + λI)⁻¹ a model of m users over n items needs the inverse of an m × m or of an
n × n matrix, whichever is smaller; from the former no n × n matrix has to be made.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import resolve_device
from dconrec_core.errors import TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models._algebra import inner_products, sums_of_rows, times, with_history
from dconrec_core.models._history import HistoryModel, history_of, history_state
from dconrec_core.models.base import State
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.registry import Config
from dconrec_core.training import CRITERION, History
from dconrec_core.types import FloatArray, IntArray, Interactions

DENSE_CELLS = 2**28  # of a table that stays: 1 GB
SPARSE_PRODUCT_COST = 50
"""Of a term of a dense matrix times a sparse one in float32, in terms of a dense one: 14 to 63 on two busy cores."""


class LinearConfig(Config):
    """Settings of a linear autoencoder."""

    regularization: list[PositiveFloat] = Field([10.0, 1.0, 100.0], min_length=1)
    """Ridge penalties λ; the best on valid is kept, the first without a validation task."""
    relative: bool = False
    """Whether penalties are in units of the mean squared length of an item's column of F, over the items that occur:
    then they mean the same on sets of any size, and what is best on a small one can be tried on all data."""


class Solution(Protocol):
    """A solved model: scores are linear in the history."""

    def scores(self, history: sparse.csr_array) -> ScoreFunction:
        """Scores of the rows of a binary matrix ``[n_users, n_items]``."""
        ...

    def state(self) -> Arrays:
        """What was solved for, as arrays by name."""
        ...


@dataclass(frozen=True)
class ItemSpace:
    """Scores are a history times a matrix, float32 ``[n_items, n_items]``."""

    weights: FloatArray

    def scores(self, history: sparse.csr_array) -> ScoreFunction:
        """See ``Solution.scores``."""
        return lambda users: sums_of_rows(history[users], self.weights)

    def state(self) -> Arrays:
        """See ``Solution.state``."""
        return {"weights": self.weights}


@dataclass(frozen=True)
class UserSpace:
    """Scores are x Fᵀ G Y for a history x, less what ``own`` takes from each item that x has.

    Args:
        inputs: F, float32 ``[m, n_items]``.
        inverse: G, float32 ``[m, m]``.
        outputs: Y, float32 ``[m, n_items]``.
        own: float32 ``[n_items]``, or None for nothing.
        solved: What goes into the state.
    """

    inputs: sparse.csr_array
    inverse: FloatArray
    outputs: sparse.csr_array
    own: FloatArray | None
    solved: Arrays

    def scores(self, history: sparse.csr_array) -> ScoreFunction:
        """See ``Solution.scores``; dot products where Y is not sparse and the two tables are not too large."""
        m, n_items = self.outputs.shape
        is_sparse = self.outputs.nnz * SPARSE_PRODUCT_COST < m * n_items
        if history.shape[0] * m > DENSE_CELLS:
            return self._without_own(history, lambda users: times(self.encoded(history[users]), self.outputs))
        encoded = self.encoded(history)
        if is_sparse or n_items * m > DENSE_CELLS:
            return self._without_own(history, lambda users: times(encoded[users], self.outputs))
        products = DotProducts(encoded, self.outputs.T.tocsr().toarray())
        return products if self.own is None else self._without_own(history, products)

    def encoded(self, history: sparse.csr_array) -> FloatArray:
        """X Fᵀ G, float32 ``[n_users, m]``."""
        return inner_products(history, self.inputs).astype(np.float32, copy=False) @ self.inverse

    def _without_own(self, history: sparse.csr_array, score: ScoreFunction) -> ScoreFunction:
        if (own := self.own) is None:
            return score

        def scores(users: IntArray) -> FloatArray:
            found, part = score(users), history[users]
            found[np.repeat(np.arange(len(users)), np.diff(part.indptr)), part.indices] -= own[part.indices]
            return found

        return scores

    def state(self) -> Arrays:
        """See ``Solution.state``."""
        return self.solved


class LinearAutoencoder(HistoryModel[Solution]):
    """A model whose scores are linear in a user's own history."""

    @abstractmethod
    def solver(self, train: Interactions, device: torch.device) -> Callable[[float, bool], Solution]:
        """From a penalty λ, and whether it is the last, to the solution; the last may use up what others need."""

    @abstractmethod
    def inputs(self, rows: sparse.csr_array) -> sparse.csr_array:
        """F, the weighted histories that are regressed on, float64 ``[m, n_items]``, from the binary ``rows``."""

    @abstractmethod
    def solution_of(self, state: State, history: sparse.csr_array) -> Solution:
        """The inverse of ``Solution.state``."""

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """Solve for each λ and keep the best on valid; see ``Recommender.fit``. One row of the history a λ."""
        started, history = time.perf_counter(), History()
        device = resolve_device(options.device)
        if valid is not None:
            valid.check(train)
        self.history = train.csr()
        solve, unit = self.solver(train, device), self._unit() if self.config.relative else 1.0
        penalties = self.config.regularization if valid is not None else self.config.regularization[:1]
        best: Solution | None = None
        for number, penalty in enumerate(penalties, start=1):
            try:
                self.solution = solve(penalty * unit, number == len(penalties))
            except np.linalg.LinAlgError as error:
                relative = ", relative to the data," if self.config.relative else ""
                raise TrainingError(
                    f"regularization {penalty}{relative} is too small to invert the Gram matrix; raise it"
                ) from error
            row = {"epoch": float(number), "regularization": penalty}
            if valid is not None:
                row[f"valid_{CRITERION}"] = valid.measure(valid.score_of(self), (10,))[CRITERION]
            quality = row.get(f"valid_{CRITERION}", math.nan)
            if best is None or quality > history.best_valid:
                best, history.best_epoch, history.best_valid = self.solution, number, quality
            history.rows.append(row)
            options.on_epoch(EpochEvent(options.label, number, len(penalties), row))
        self.solution = best
        history.seconds = history.seconds_to_best = time.perf_counter() - started
        return history

    def scores_of(self, solution: Solution, history: sparse.csr_array) -> ScoreFunction:
        """See ``HistoryModel.scores_of``."""
        return solution.scores(history)

    def state(self) -> State:
        """What was solved for, and the users' histories."""
        solution, history = self._fitted("be saved")
        return {**solution.state(), "n_items": np.array([history.shape[1]]), **history_state(history)}

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        self.history = history_of(state, int(state["n_items"][0]))
        self.solution = self.solution_of(state, self.history)

    def _unit(self) -> float:
        """Of relative penalties; 1 where nothing occurs."""
        assert self.history is not None
        inputs = self.inputs(with_history(self.history))
        occurring = np.unique(inputs.indices)
        return float(np.square(inputs.data).sum() / len(occurring)) if len(occurring) else 1.0
