"""A search of ``synthetic-users`` that goes on from an earlier set instead of from clusters of users.

The source has grown a little since: the earlier histories are nearly right, so a fraction of the steps is enough. What
the earlier search knew of pairs that it left out is lost with it; the real users who are most like a made-up one say
how near each of them is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from dconrec_core.condensation.histories import Histories
from dconrec_core.condensation.reader import Reader
from dconrec_core.condensation.synthetic_users import SyntheticUsers, SyntheticUsersConfig
from dconrec_core.errors import DataError
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, FloatArray, IntArray, Interactions

STEPS_SHARE = 0.2
"""Of the steps of a cold search."""
LIKELY = 1e-3
"""Keep-probabilities are read as within this and 1 minus this."""


@dataclass(frozen=True)
class Earlier:
    """An earlier set over the catalogue of today.

    Args:
        histories: Its made-up users' histories, in the item ids of today; what is no longer in the catalogue left out.
        keep_prob: Keep-probability of each pair, float32 ``[n]``.
        reader: What its search had learned of the reader, as its card notes it.
    """

    histories: Interactions
    keep_prob: FloatArray
    reader: Mapping[str, float]

    @classmethod
    def of(cls, condensed: CondensedDataset, item_of: IntArray, n_items: int) -> "Earlier":
        """A set read back.

        Args:
            condensed: The set.
            item_of: Today's id of each item of its catalogue, -1 for one that is gone, int32 ``[n_items then]``.
            n_items: Size of today's catalogue.

        Raises:
            DataError: Its users are not made up, or nothing of it is left.
        """
        if not condensed.synthetic:
            raise DataError(
                f"a set of {condensed.condenser!r} has no made-up users to start from; leave condense.start empty"
            )
        pairs = condensed.interactions
        items = item_of[pairs.items]
        known = items >= 0
        if not known.any():
            raise DataError("no item of the set to start from is in the catalogue; leave condense.start empty")
        users, probability = np.unique(pairs.users[known], return_inverse=True)[1], condensed.keep_prob[known]
        order = np.lexsort((items[known], users))
        histories = Interactions.of(users[order], items[known][order], int(users.max()) + 1, n_items)
        return cls(histories, probability[order], condensed.notes.get("reader", {}))


class WarmSyntheticUsers(SyntheticUsers):
    """The search from an earlier set: as many made-up users, a share of the steps, one start.

    Args:
        config: Settings of a cold search.
        earlier: Where it starts.
        steps_share: Of ``config.steps``.
    """

    def __init__(self, config: SyntheticUsersConfig, earlier: Earlier, steps_share: float = STEPS_SHARE) -> None:
        steps = max(1, round(config.steps * steps_share))
        super().__init__(config.model_copy(update={"steps": steps, "starts": 1}))
        self.earlier = earlier
        self.items: IntArray = np.array([], dtype=np.int32)

    def mentionable(self, pool: CandidatePool, budget: Budget) -> IntArray:
        """What is worth mentioning today, and what the earlier set mentions."""
        worth = super().mentionable(pool, budget)
        self.items = np.union1d(worth, self.earlier.histories.items).astype(np.int32)
        return self.items

    def n_made_up(self, budget: Budget, n_real: int) -> int:
        """As many as in the earlier set."""
        return min(self.earlier.histories.n_users, budget.n_interactions, n_real)

    def start(self, histories: Histories, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
        """Kept pairs by their keep-probability, the others below them by the taste of the like-minded real users."""
        earlier, n_users = self.earlier.histories, size[0]
        rows, columns = earlier.users, np.searchsorted(self.items, earlier.items).astype(np.int32)
        kept = rows < n_users
        rows, columns, probability = rows[kept], columns[kept], self.earlier.keep_prob[kept]
        logits = like_minded(histories, rows, columns, n_users) - 2.0
        logits = np.minimum(logits * self.config.spread, -0.05)  # below every pair that is kept
        likely = np.clip(probability, 0.5 + LIKELY, 1 - LIKELY)
        logits[rows, columns] = self.config.spread * np.log(likely / (1 - likely))
        return np.asarray(logits, dtype=np.float32)

    def prepare_reader(self, reader: Reader) -> None:
        """Go on from what the earlier search had learned, but for the sharpness of its softmax, which no card keeps."""
        for name, value in self.earlier.reader.items():
            logarithm = f"log_{name}" in reader.parameters
            parameter = reader.parameters.get(f"log_{name}" if logarithm else name)
            if parameter is not None and (not logarithm or value > 0):
                with torch.no_grad():
                    parameter.fill_(math.log(value) if logarithm else value)


def like_minded(histories: Histories, rows: IntArray, columns: IntArray, n_users: int) -> FloatArray:
    """How much the real users nearest to each made-up one go for each item, standardised: ``[n_users, n_items]``."""
    seen, n_items = histories.seen, histories.n_items
    shape = (len(seen.indptr) - 1, n_items)
    real = sparse.csr_array(sparse.csr_array((seen.values, seen.columns, seen.indptr), shape=shape)[histories.users])
    own = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_users, n_items))
    length = np.sqrt(np.maximum(np.asarray(own.sum(axis=1)).ravel(), 1))
    nearest = np.asarray((real @ own.T).todense() / length).argmax(axis=1)
    size = np.maximum(np.bincount(nearest, minlength=n_users), 1)
    member = sparse.csr_array(
        ((1 / size[nearest]).astype(np.float32), (nearest, np.arange(real.shape[0]))), shape=(n_users, real.shape[0])
    )
    mean = np.asarray((member @ real).todense(), dtype=np.float32)
    return np.asarray((mean - mean.mean()) / max(float(mean.std()), 1e-12), dtype=np.float32)
