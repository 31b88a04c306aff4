"""Folding users into a model of embeddings: ridge regression of their history on its items, in closed form."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, PositiveFloat
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.evaluation import RankingTask
from dconrec_core.models._algebra import sums_of_rows
from dconrec_core.models._history import Degrees, fold_in
from dconrec_core.models.base import EpochConfig, State
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.training import CRITERION
from dconrec_core.types import FloatArray, Interactions


class FoldInConfig(EpochConfig):
    """Settings of every model of embeddings: how it is trained in epochs, and how users are folded into it."""

    fold_in_penalty: list[PositiveFloat] = Field([3.0, 1.0, 10.0, 30.0], min_length=1)
    """Ridge penalties λ, in mean squared lengths of the items per dimension; of several the best on valid is kept."""
    input_exponent: FiniteFloat = 0.0
    """Weight of an item in the regression: its popularity in the training set to minus this power."""
    output_exponent: FiniteFloat = 0.0
    """Weight of an item's score: its popularity in the training set to minus this power."""
    whole_catalogue: bool = False
    """On a set with users of its own: train over every item of the catalogue, also over those that the set does not
    mention (``Inductive``)."""


@dataclass(frozen=True)
class FoldIn:
    """From a history x to a user's embedding u = (FᵀF + λμI)⁻¹ Fᵀx with F = V ∘ w, and to the scores (u · V) ∘ w'.

    V holds the items' embeddings, ``[n_items, d]``; μ = trace(FᵀF) / d makes λ independent of their length. The weights
    are (degree + 1)^-exponent; those of the input are relative to the greatest of them.

    Args:
        item_degree: Interactions per item in the training set, int64 ``[n_items]``.
        penalty: λ.
        input_exponent: Of w.
        output_exponent: Of w'.
    """

    item_degree: Degrees
    penalty: float
    input_exponent: float
    output_exponent: float

    @classmethod
    def of(cls, config: FoldInConfig, train: Interactions) -> Self:
        """With the first penalty, which is the one that early stopping looks at."""
        return cls(train.item_degree, config.fold_in_penalty[0], config.input_exponent, config.output_exponent)

    def scores(self, items: FloatArray, histories: Interactions) -> ScoreFunction:
        """Scores of the rows of ``histories`` by the embeddings ``items``, float32 ``[n_items, d]``."""

        def score_of(history: sparse.csr_array) -> DotProducts:
            users = sums_of_rows(history, self._map(items))
            return DotProducts(users, (items * self._weights(self.output_exponent)[:, None]).astype(np.float32))

        return fold_in(histories, self.item_degree, score_of)

    def _map(self, items: FloatArray) -> FloatArray:
        """F(FᵀF + λμI)⁻¹: a history times it is the user, float32 ``[n_items, d]``."""
        weights = self._weights(self.input_exponent)
        exact = items * (weights / weights.max(initial=0))[:, None]
        gram = exact.T @ exact
        size = len(gram)
        # The least μ is for items that are all 0, as isolated ones are in some models: their users are 0 too.
        gram.flat[:: size + 1] += self.penalty * max(gram.trace() / size, 1e-30)
        return np.linalg.solve(gram, exact.T).T.astype(np.float32)

    def _weights(self, exponent: float) -> npt.NDArray[np.float64]:
        return np.asarray((self.item_degree + 1.0) ** -exponent)

    def tuned(
        self, penalties: list[float], items: FloatArray, valid: RankingTask | None, known: float | None = None
    ) -> tuple[Self, float | None]:
        """The best of ``penalties`` on valid, the first without, and its NDCG@10 where there was something to choose.

        Users are folded in for this even where the task looks them up by id.

        Args:
            penalties: The first is that of ``self``.
            items: Embeddings, ``[n_items, d]``.
            valid: What decides.
            known: NDCG@10 with the first, where it was measured already.
        """
        if valid is None or len(penalties) == 1:
            return self, None

        def quality_of(candidate: Self) -> float:
            return valid.measure(candidate.scores(items, valid.histories or valid.seen), (10,))[CRITERION]

        best, highest = self, quality_of(self) if known is None else known
        for penalty in penalties[1:]:
            candidate = replace(self, penalty=penalty)
            if (quality := quality_of(candidate)) > highest:
                best, highest = candidate, quality
        return best, highest

    def state(self) -> Arrays:
        """As arrays by name."""
        numbers = np.array([self.penalty, self.input_exponent, self.output_exponent])
        return {"item_degree": self.item_degree, "fold_in": numbers}

    @classmethod
    def of_state(cls, state: State) -> Self:
        """The inverse of ``state``; other arrays are passed over."""
        penalty, input_exponent, output_exponent = (float(number) for number in state["fold_in"])
        return cls(np.asarray(state["item_degree"], dtype=np.int64), penalty, input_exponent, output_exponent)
