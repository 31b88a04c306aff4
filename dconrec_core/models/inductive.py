"""Models of sets with users of their own: trained over the items that the set holds, and over no others.

A small set mentions a part of the catalogue: 0.5 % of MovieLens-1M a third of it. An item that nobody there has can
only ever be a negative, which dilutes the negatives that say more; it costs as much as any other in every graph layer,
every dense matrix and every look at valid. What it does say is how little a user keeps to what the set mentions: on the
very smallest sets that is worth its cost, so a model of embeddings may ask for it (``FoldInConfig.whole_catalogue``).
"""

import numpy as np

from dconrec_core.errors import NotFittedError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models._history import check_catalogue
from dconrec_core.models.base import Recommender, State
from dconrec_core.models.fold_in import FoldInConfig
from dconrec_core.options import RunOptions
from dconrec_core.ranking import ScoreFunction
from dconrec_core.training import History
from dconrec_core.types import FloatArray, IntArray, Interactions

MENTIONED, LOWEST = "mentioned_items", np.finfo(np.float32).min


class Inductive:
    """A model that knows the items of its training set alone, over the whole catalogue.

    Items that nobody there has are ranked below all others, and say nothing about a user who has them; unless the
    model's settings ask for the whole catalogue.

    Args:
        model: What is trained.
    """

    def __init__(self, model: Recommender) -> None:
        self.model, self.config, self.search_space = model, model.config, model.search_space
        self.items: IntArray | None = None  # those it knows, increasing
        self.n_items = 0

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        if valid is not None:
            valid.check(train)
        whole = isinstance(self.config, FoldInConfig) and self.config.whole_catalogue
        known = np.ones(train.n_items, dtype=bool) if whole or not len(train) else train.item_degree > 0
        self.items, self.n_items = np.flatnonzero(known).astype(np.int32), train.n_items
        return self.model.fit(train.among(self.items), valid.among(self.items) if valid else None, options)

    @property
    def score(self) -> ScoreFunction:
        """See ``Recommender.score``."""
        return self._over_all(self.model.score)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Recommender.fold_in``."""
        items = self._fitted()
        check_catalogue(histories, self.n_items)
        return self._over_all(self.model.fold_in(histories.among(items)))

    def state(self) -> State:
        """That of the model, and which items it is about."""
        known = np.zeros(self.n_items, dtype=np.uint8)
        known[self._fitted()] = 1
        return {**self.model.state(), MENTIONED: known}

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        self.items, self.n_items = np.flatnonzero(state[MENTIONED]).astype(np.int32), len(state[MENTIONED])
        self.model.load_state({name: array for name, array in state.items() if name != MENTIONED})

    def _over_all(self, score: ScoreFunction) -> ScoreFunction:
        items = self._fitted()
        if len(items) == self.n_items:
            return score

        def scores(users: IntArray) -> FloatArray:
            table = np.full((len(users), self.n_items), LOWEST, dtype=np.float32)
            table[:, items] = score(users)
            return table

        return scores

    def _fitted(self) -> IntArray:
        if self.items is None:
            raise NotFittedError(f"{type(self.model).__name__} must be fitted or loaded before it can score")
        return self.items


def over_mentioned_items(model: Recommender, inductive: bool) -> Recommender:
    """``model``, or where its training set has users of its own, ``Inductive`` of it."""
    return Inductive(model) if inductive else model
