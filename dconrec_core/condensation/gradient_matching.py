"""Gradient matching: keep-probabilities under which drawn sets have the gradient of all observed interactions.

Let g_j be the gradient of interaction j's BPR loss at the weights of a proxy, n the number of interactions and B the
budget. A set drawn with keep-probabilities s is expected to miss the full gradient, at its own size, by

    E ‖Σ_j m_j g_j − c Σ_j g_j‖² = ‖Σ_j (s_j − c) g_j‖² + Σ_j s_j (1 − s_j) ‖g_j‖²,    c = B / n,

and that is what is minimised, over all snapshots of a proxy's training, by projected gradient descent on s. The second
term is the variance of the draw: without it, keeping all with probability c would be perfect, and the set random. It
drives s towards 0 and 1 and is not convex, so its weight grows from 0 to 1 over the search.
A g_j touches three rows of embeddings, so that a step costs O(n d) and no gradient is ever stored. It is the gradient
matching of dataset condensation (Zhao et al., ICLR 2021, arXiv:2006.05929) on real interactions, as in Grad-Match
(Killamsetty et al., ICML 2021, arXiv:2103.00123) but without weights, which a set of interactions cannot carry.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dconrec_core.condensation._kernels import add_gradients, along_gradients, bpr_pulls
from dconrec_core.condensation.base import best_candidates, make_condensed
from dconrec_core.condensation.bernoulli import Probabilities, project_to_budget
from dconrec_core.condensation.feasible_set import AdamStep
from dconrec_core.condensation.proxy import ProxyConfig, proxy_epochs
from dconrec_core.models.bprmf import Factors
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.rng import numpy_rng
from dconrec_core.sampling import sample_negatives
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, FloatArray, IntArray, Interactions


class GradientMatchingConfig(ProxyConfig):
    """Settings of ``gradient-matching``."""

    snapshots: int = Field(4, ge=1)
    """Epochs of the proxy, evenly spaced and the last among them, at which gradients are matched."""
    steps: int = Field(60, ge=0)
    """Steps on the keep-probabilities."""
    learning_rate: float = Field(0.1, gt=0)
    """Step size of Adam on the keep-probabilities, falling to 0."""


START_NOISE = 0.1
"""How far keep-probabilities start from uniform, at most and as a share: uniform ones have no slope."""


class Snapshot:
    """The BPR gradients of all interactions at one moment of the proxy, each against one negative.

    Args:
        factors: The proxy as it is now; its tables are copied.
        negatives: int32 ``[nnz]``.
    """

    def __init__(self, factors: Factors, negatives: IntArray) -> None:
        train = factors.train
        self.triplets = train.users, train.items, negatives
        self.tables: tuple[FloatArray, FloatArray] = factors.users.copy(), factors.items.copy()
        self.pulls = np.empty(len(train), dtype=np.float32)
        self.squares = np.empty(len(train), dtype=np.float32)
        bpr_pulls(*self.triplets, *self.tables, self.pulls, self.squares)
        self.scale = max(float(self.squares.mean(dtype=np.float64)), 1e-30)

    def mismatch(
        self, keep_prob: Probabilities, share: float, variance_weight: float = 1.0
    ) -> tuple[float, npt.NDArray[np.float64]]:
        """How far drawn sets are expected to miss ``share`` of the full gradient, and the derivative of that.

        In units of the mean squared gradient of an interaction, so that snapshots count alike. Uniform draws miss by
        n c (1 − c).

        Args:
            keep_prob: s, float64 ``[nnz]``; 0 and 1 for a set that is drawn already.
            share: c.
            variance_weight: Of the second term in the slope; the value always has all of it.

        Returns:
            The value, and its slope in s, float64 ``[nnz]``.
        """
        rows = np.zeros_like(self.tables[0]), np.zeros_like(self.tables[1])
        add_gradients(*self.triplets, *self.tables, (keep_prob - share).astype(np.float32) * self.pulls, *rows)
        along = np.empty_like(self.pulls)
        along_gradients(*self.triplets, *self.tables, *rows, along)
        bias = sum(float(np.square(table, dtype=np.float64).sum()) for table in rows)
        variance = float((keep_prob * (1 - keep_prob)) @ self.squares)
        slope = 2.0 * along * self.pulls + variance_weight * (1 - 2 * keep_prob) * self.squares
        return (bias + variance) / self.scale, slope / self.scale


class GradientMatching:
    """The interactions that are most probable once keep-probabilities match the full gradient."""

    name = "gradient-matching"

    def __init__(self, config: GradientMatchingConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``; chooses from the observed interactions.

        One event an epoch of the proxy, then one a step: ``mismatch``, as a share of what uniform draws miss.
        """
        train, rng = pool.train, numpy_rng(options.seed, "condense", self.name)
        count = min(budget.n_interactions, len(train))
        probable = self.match(self.snapshots(train, rng, options), len(train), count, rng, options)
        keep_prob = np.zeros(len(pool), dtype=np.float32)
        keep_prob[pool.observed] = probable
        kept = np.zeros(len(pool), dtype=bool)
        kept[pool.observed] = best_candidates(probable, rng.random(len(train)), count)
        return make_condensed(
            pool, kept, budget, condenser=self.name, config=self.config, seed=options.seed, keep_prob=keep_prob,
            notes={"source_model": self.config.source_model},
        )  # fmt: skip

    def snapshots(self, train: Interactions, rng: np.random.Generator, options: RunOptions) -> list[Snapshot]:
        """Of a proxy in training, each with negatives of its own; no more than there are epochs."""
        epochs, count = self.config.proxy_epochs, self.config.snapshots
        return [
            Snapshot(factors, sample_negatives(train, train.users, rng))
            for epoch, factors in enumerate(proxy_epochs(train, self.config, rng, options), start=1)
            if epoch * count // epochs > (epoch - 1) * count // epochs
        ]

    def match(
        self, snapshots: list[Snapshot], size: int, count: int, rng: np.random.Generator, options: RunOptions
    ) -> Probabilities:
        """Keep-probabilities of ``size`` interactions after the search, which sum to ``count``; float64 ``[size]``."""
        share, steps = count / size, self.config.steps
        keep_prob = on_budget(share * (1 + START_NOISE * rng.uniform(-1, 1, size)), count)
        stepper, uniform = AdamStep(size), max(count * (1 - share), 1.0) * len(snapshots)
        for step in range(1, steps + 1):
            missed = [snapshot.mismatch(keep_prob, share, step / steps) for snapshot in snapshots]
            slope = np.sum([slope for _, slope in missed], axis=0)
            slope -= slope.mean()  # what all have in common would change the sum, which is given
            rate = self.config.learning_rate * (1 - (step - 1) / steps)
            keep_prob = on_budget(keep_prob - rate * stepper.direction(slope, keep_prob), count)
            mismatch = sum(value for value, _ in missed) / uniform
            options.on_epoch(EpochEvent(options.label, step, steps, {"mismatch": mismatch}))
        return keep_prob


def on_budget(keep_prob: Probabilities, count: int) -> Probabilities:
    """Nearest point to ``keep_prob`` in {p in [0, 1]^n : sum(p) = count}.

    All are first raised to 1 or above, which moves the nearest point of a given sum nowhere and lets the budget bind.
    """
    return project_to_budget(keep_prob - keep_prob.min() + 1, count)
