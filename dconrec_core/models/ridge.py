"""Ridge autoencoder: kernel ridge regression of histories on themselves, weighted by popularity. Closed form.

The linear relative of ∞-AE (Sachdeva et al., NeurIPS 2022, arXiv:2206.02626), with the degrees normalised as in graph
filters (Shen et al., CIKM 2021, arXiv:2108.07567).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import FiniteFloat, PositiveFloat
from scipy import sparse

from dconrec_core.errors import TrainingError
from dconrec_core.models._algebra import Matrix, inner_products, leverages, ridge_inverse, scaled, with_history
from dconrec_core.models._history import item_degree_of
from dconrec_core.models._linear import ItemSpace, LinearAutoencoder, LinearConfig, Solution, UserSpace
from dconrec_core.models.base import State
from dconrec_core.types import FloatArray, Interactions

MOST = 20_000
"""Users or items, whichever is fewer, of which a square matrix is still inverted: 3.2 GB in double precision."""


class RidgeConfig(LinearConfig):
    """Settings of the ridge autoencoder; popularity and activity are those in the training set."""

    input_exponent: FiniteFloat = 0.3
    """Weight of an item in a history: its popularity to minus this power, a in the formulas."""
    output_exponent: FiniteFloat = 0.5
    """Weight of an item's score: its popularity to minus this power, b."""
    user_exponent: FiniteFloat = 0.45
    """Weight of a user of the training set: the activity to minus this power, c."""
    smoothing: PositiveFloat = 1.0
    """Added to each item's popularity, ε."""
    leverage_exponent: FiniteFloat = 0.0
    """Weight of an item's score: (1 − h) to minus this power, d, where h, its leverage, is how much the regression's
    prediction of the item on the training set leans on the item itself; 1 is EASE's."""


class Ridge(LinearAutoencoder):
    """Scores x Fᵀ(FFᵀ + λI)⁻¹Y of a history x, with F = D_r^-c C D_p^-a and Y = C D_p^-b of the training set C.

    With a leverage exponent d, Y's columns are divided by (1 − h)^d, h = diag(Fᵀ(FFᵀ + λI)⁻¹F).
    D_p holds the items' degrees + ε, D_r the users' + 1. Of m users with a history and n items the smaller is inverted.
    """

    def solver(self, train: Interactions, device: torch.device) -> Callable[[float, bool], Solution]:
        """See ``LinearAutoencoder.solver``.

        Raises:
            TrainingError: There are too many users and too many items.
        """
        rows = with_history(train.csr())
        m, n_items = rows.shape
        if min(m, n_items) > MOST:
            raise TrainingError(
                f"ridge inverts a matrix over the fewer of {m} users and {n_items} items, at most {MOST}; "
                "train it on fewer users (a condensed set), or choose a model of embeddings"
            )
        inputs, outputs = self._weighted(rows)
        if m <= n_items:
            gram = inner_products(inputs, inputs)

            def by_users(penalty: float, last: bool) -> Solution:
                inverse = ridge_inverse(gram if last else gram.copy(), penalty, device)
                return self._by_users(rows, inverse.astype(np.float32))

            return by_users
        inputs, outputs = inputs.T.tocsr(), outputs.T.tocsr()
        gram, targets = inner_products(inputs, inputs), inner_products(inputs, outputs)

        def by_items(penalty: float, last: bool) -> Solution:
            inverse = ridge_inverse(gram if last else gram.copy(), penalty, device)
            weights = inverse @ targets
            if self.config.leverage_exponent:
                weights *= self._by_leverage(1 - penalty * inverse.diagonal())
            return ItemSpace(weights.astype(np.float32))

        return by_items

    def inputs(self, rows: sparse.csr_array) -> sparse.csr_array:
        """See ``LinearAutoencoder.inputs``."""
        return self._weighted(rows)[0]

    def solution_of(self, state: State, history: sparse.csr_array) -> Solution:
        """See ``LinearAutoencoder.solution_of``."""
        if "weights" in state:
            return ItemSpace(np.asarray(state["weights"], dtype=np.float32))
        return self._by_users(with_history(history), np.asarray(state["inverse"], dtype=np.float32))

    def _by_users(self, rows: sparse.csr_array, inverse: FloatArray) -> Solution:
        inputs, outputs = self._weighted(rows)
        if self.config.leverage_exponent:
            outputs = scaled(outputs, self._by_leverage(leverages(inputs, inverse.astype(np.float64))))
        inputs, outputs = inputs.astype(np.float32), outputs.astype(np.float32)
        return UserSpace(inputs, inverse, outputs, None, {"inverse": inverse})

    def _by_leverage(self, leverage: Matrix) -> Matrix:
        """(1 − h)^-d; rounding may leave a leverage at 1."""
        return np.asarray(np.maximum(1 - leverage, 1e-6) ** -self.config.leverage_exponent)

    def _weighted(self, rows: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
        """F and Y, float64 ``[m, n_items]``."""
        config: RidgeConfig = self.config
        popularity, activity = item_degree_of(rows) + config.smoothing, np.diff(rows.indptr) + 1.0
        inputs = scaled(rows, popularity**-config.input_exponent, activity**-config.user_exponent)
        return inputs, scaled(rows, popularity**-config.output_exponent)

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """λ must follow the number of users, the exponents how unevenly they spread over the items."""
        few = [5.0, 10.0, 20.0]
        return [
            {},
            {"regularization": few, "output_exponent": 0.4, "leverage_exponent": 0.6},
            {"regularization": few, "output_exponent": 0.45, "user_exponent": 0.3, "leverage_exponent": 0.6},
            {"output_exponent": 0.3},
            {"input_exponent": 0.0},
        ]
