"""The popularity ranker: every user gets the most popular items. The floor every model must clear."""

import numpy as np

from dconrec_core.ranking import ScoreFunction
from dconrec_core.types import Interactions


def popularity_scores(train: Interactions) -> ScoreFunction:
    """A score function that ranks items by their number of interactions in ``train``."""
    popularity = train.item_degree.astype(np.float32)
    return lambda users: np.broadcast_to(popularity, (len(users), train.n_items)).copy()
