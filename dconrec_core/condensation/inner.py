"""The inner training of ``dconrec``: short BPRMF trainings on drawn sets, and the validation loss read off them."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dconrec_core.device import cpu_threads
from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import bpr_losses, masked_bpr_epoch, pair_sketch, shuffle
from dconrec_core.metrics import PerUser
from dconrec_core.models._factors import random_state
from dconrec_core.models.bprmf import BPRMFConfig, Factors
from dconrec_core.sampling import several_negatives
from dconrec_core.types import BoolArray, CandidatePool, FloatArray, IntArray, Interactions


@dataclass(frozen=True)
class Look:
    """What a set is worth on valid.

    Args:
        per_user: NDCG@10 of each user with something to find, of a model trained on the set.
    """

    per_user: PerUser

    @cached_property
    def ndcg(self) -> float:
        """Mean NDCG@10, 0 where nobody has anything to find."""
        return float(self.per_user.mean()) if len(self.per_user) else 0.0

    def beats(self, other: "Look", errors: float) -> bool:
        """Whether it is better by more than ``errors`` standard errors of the difference, paired over the users."""
        gain = self.per_user - other.per_user
        if len(gain) < 2:  # nothing says how much of it is chance
            return False
        return bool(gain.mean() > errors * gain.std(ddof=1) / math.sqrt(len(gain)))


class InnerTraining:
    """Trains on masks of a pool and tells how well each serves validation. Negatives avoid training positives only.

    Args:
        pool: The candidates that masks select from.
        valid: Validation interactions.
        rng: Source of randomness.
        warm_epochs: Epochs of a warm start; 0 for a fresh model at every call of ``masked_losses``.
        inner_epochs: Epochs on each mask.
        valid_negatives: Fixed negatives per validation interaction.
        judge: Of the BPRMF that sets are looked at with; that of the masks by default.
    """

    def __init__(
        self,
        pool: CandidatePool,
        valid: Interactions,
        rng: np.random.Generator,
        warm_epochs: int,
        inner_epochs: int,
        valid_negatives: int,
        judge: BPRMFConfig | None = None,
    ) -> None:
        self.pool, self.valid, self.rng = pool, valid, rng
        self.sketch = pair_sketch(pool.interactions.users, pool.interactions.items)
        self.warm_epochs, self.inner_epochs = warm_epochs, inner_epochs
        # Short trainings on drawn sets compare masks by their losses: all start anywhere, none at what its set says.
        start = {"start": "gaussian", "init_scale": 0.1, "item_init_scale": 0.1, "initial_accumulator": 0.0}
        self.config = BPRMFConfig.model_validate({"weight_decay": 0.005, **start})
        self.judge = judge
        self.task = RankingTask.valid(pool.train, valid)
        self.negatives = several_negatives(pool.train, valid.users, valid_negatives, rng)
        self.count = np.maximum(valid.user_degree, 1)
        self.start = Factors(pool.train, self.config, rng)

    def warm_start(self, kept: BoolArray) -> Look:
        """Train a fresh model on the set ``kept`` and let masks go on from it; returns what the set is worth."""
        self.start = self._trained(kept, self.config)
        return self._look(self.start) if self.judge is None else self.look(kept)

    def look(self, kept: BoolArray) -> Look:
        """What the set ``kept`` is worth: by a fresh model after ``warm_epochs`` on it."""
        return self._look(self._trained(kept, self.judge or self.config))

    def _trained(self, kept: BoolArray, config: BPRMFConfig) -> Factors:
        model = Factors(self.pool.interactions.take(kept), config, self.rng)
        for _ in range(self.warm_epochs):
            model.epoch()
        return model

    def _look(self, model: Factors) -> Look:
        return Look(self.task.per_user(model.score, (10,))["ndcg@10"])

    def masked_losses(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Mean validation loss of every user after ``inner_epochs`` on each mask, ``[K, n_users]``.

        All masks start from the same weights and share their randomness (common random numbers): they visit what they
        have in common in the same order with the same negatives, so that differences between their losses are
        differences between the masks. Users without a validation interaction have loss 0. Masks are independent, so
        their trainings run on as many threads as there are, with the same result on any number.
        """
        if not self.warm_epochs:
            self.start = Factors(self.pool.train, self.config, self.rng)
        shared = random_state(self.rng)
        orders = []
        for _ in range(self.inner_epochs):
            order = np.arange(len(self.pool), dtype=np.int32)
            shuffle(shared, order)
            orders.append((order, shared[0]))
        with ThreadPoolExecutor(min(cpu_threads(), len(masks))) as threads:
            return np.stack(list(threads.map(lambda mask: self._losses(mask, orders), masks)))

    def overall(self, losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Mean loss over validation interactions of each mask, ``[K]``."""
        return np.asarray(losses @ self.valid.user_degree / max(len(self.valid), 1))

    def _losses(self, mask: BoolArray, orders: list[tuple[IntArray, np.uint64]]) -> npt.NDArray[np.float64]:
        pool, config, weights = self.pool.interactions, self.config, self.start.weights()
        users, items = weights["users"], weights["items"]
        user_sum, item_sum = np.zeros(len(users), dtype=np.float32), np.zeros(len(items), dtype=np.float32)
        for order, seed in orders:
            masked_bpr_epoch(
                order, pool.users, pool.items, pool.indptr, self.sketch, mask, seed, users, items, user_sum, item_sum,
                np.float32(config.learning_rate), np.float32(config.weight_decay),
            )  # fmt: skip
        losses: FloatArray = np.empty(len(self.valid), dtype=np.float32)
        bpr_losses(self.valid.users, self.valid.items, self.negatives, users, items, losses)
        return np.bincount(self.valid.users, weights=losses, minlength=self.valid.n_users) / self.count
