"""Users' own histories: how models that score from them keep them, and what every folding in has in common."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.errors import DataError, NotFittedError
from dconrec_core.models.base import State
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.types import BoolArray, FloatArray, IntArray, Interactions

Degrees = npt.NDArray[np.int64]
Solution = TypeVar("Solution")


class HistoryModel(ABC, Generic[Solution]):
    """A model whose scores come from a user's own history alone, so that users unseen in training are scored alike.

    Attributes:
        config: Its settings.
        solution: What it has learned, once fitted or loaded.
        history: The training set, binary ``[n_users, n_items]``.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.solution: Solution | None = None
        self.history: sparse.csr_array | None = None

    @abstractmethod
    def scores_of(self, solution: Solution, history: sparse.csr_array) -> ScoreFunction:
        """Scores of the rows of a binary matrix ``[n_users, n_items]``."""

    @property
    def score(self) -> ScoreFunction:
        """See ``Scorer.score``."""
        solution, history = self._fitted("score")
        return own_scores(history, partial(self.scores_of, solution))

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        solution, history = self._fitted("fold users in")
        return fold_in(histories, item_degree_of(history), partial(self.scores_of, solution))

    def _fitted(self, what: str) -> tuple[Solution, sparse.csr_array]:
        """What was learned, and the training set.

        Raises:
            NotFittedError: Nothing was yet, so that the model cannot do ``what``.
        """
        if self.solution is None or self.history is None:
            raise NotFittedError(f"{type(self).__name__} must be fitted or loaded before it can {what}")
        return self.solution, self.history


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


def item_degree_of(history: sparse.csr_array) -> Degrees:
    """Interactions per item of a binary matrix, ``[n_items]``."""
    return np.bincount(history.indices, minlength=history.shape[1])


def check_catalogue(histories: Interactions, n_items: int) -> None:
    """Whether ``histories`` can be folded into a model of ``n_items`` items.

    Raises:
        DataError: They are over another number of items.
    """
    if histories.n_items != n_items:
        raise DataError(
            f"the histories are over {histories.n_items} items, the model was trained on {n_items}; "
            "fold in users of the catalogue that it was trained on"
        )


def fold_in(
    histories: Interactions, item_degree: Degrees, score_of: Callable[[sparse.csr_array], ScoreFunction]
) -> ScoreFunction:
    """Scores of the rows of ``histories``; see ``Scorer.fold_in``.

    Args:
        histories: What the users had.
        item_degree: Interactions per item of what the model was trained on, ``[n_items]``.
        score_of: The model's own way from a binary matrix ``[n_users, n_items]`` to scores of its rows.

    Raises:
        DataError: ``histories`` has another number of items.
    """
    check_catalogue(histories, len(item_degree))
    score, empty = score_of(histories.csr()), histories.user_degree == 0
    if empty.any():
        known = f"{int(empty.sum())} of {len(empty)} users had nothing the model knows"
        warnings.warn(f"{known}; they get the most popular items", RuntimeWarning, stacklevel=3)
    return or_popular(score, empty, item_degree)


def own_scores(history: sparse.csr_array, score_of: Callable[[sparse.csr_array], ScoreFunction]) -> ScoreFunction:
    """Scores of the training set's own users by their rows of it, binary ``[n_users, n_items]``; see ``fold_in``."""
    return or_popular(score_of(history), np.diff(history.indptr) == 0, item_degree_of(history))


def known_or_popular(score: ScoreFunction, train: Interactions) -> ScoreFunction:
    """Scores of the users of ``train`` by what was learned of each; see ``or_popular``."""
    return or_popular(score, train.user_degree == 0, train.item_degree)


def or_popular(score: ScoreFunction, empty: BoolArray, item_degree: Degrees) -> ScoreFunction:
    """``score``, and the items' popularity for ``empty`` users, bool ``[n_users]``, of whom a model knows nothing.

    By what it learned all items would be alike to them, and they would be offered the first of the catalogue.
    """
    if not empty.any():
        return score
    popularity = item_degree.astype(np.float32)
    if isinstance(score, DotProducts):
        # One more column, which only empty users look at; no longer than the items, so that rounding is no worse.
        longest = float(np.linalg.norm(score.items, axis=1).max(initial=0)) or 1.0
        column = popularity * np.float32(longest / max(popularity.max(initial=0), 1))
        users = np.column_stack((np.where(empty[:, None], 0, score.users), empty)).astype(np.float32)
        return DotProducts(users, np.column_stack((score.items, column)))

    def scores(users: IntArray) -> FloatArray:
        return np.where(empty[users][:, None], popularity, score(users))

    return scores
