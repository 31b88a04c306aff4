"""The two outer objectives of the convergence benchmark, both with the inner training of ``dconrec``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.datasets import load_split
from benchmarks.policy_courses import ESTIMATORS, Enumerated, Estimator, Feasible, Floats, Problem, all_masks
from benchmarks.quality import Source, Teaching
from dconrec_core.condensation.feasible_set import FeasibleSet
from dconrec_core.condensation.inner import InnerTraining
from dconrec_core.data.synthetic import SyntheticConfig, plant
from dconrec_core.rng import numpy_rng
from dconrec_core.splitting import random_split
from dconrec_core.types import BoolArray, Budget, CandidatePool, IntArray, Interactions, Split

WARM_EPOCHS, VALID_NEGATIVES = 30, 8
"""As ``dconrec`` has them."""
RATIO = 0.25
TAIL_THRESHOLD = 10
MARGIN = 0.05
TEACHING = Teaching(settings={"regularization": [100.0]}, pseudo_ratio=0.3, min_pseudo=5)
SECANT = 0.08
"""Of MovieLens-100K: the largest ‖∇Φ(s) − ∇Φ(s')‖ / ‖s − s'‖ between points of a descent on a split of its own."""
N_FREE, N_KEPT = 12, 6
"""Free candidates of the enumerated problem, half of them noise, and how many may be kept."""


class Trained(Problem):
    """A pool whose free candidates are drawn and whose other candidates are always trained on.

    Args:
        pool: The candidates.
        split: Train and valid.
        free: Places of the free candidates.
        feasible: Where their probabilities may be.
        kept: The set of the warm start, which stays as it is: the objective does not move.
        inner_epochs: Epochs of each masked training.
        rng: Source of the trainings' randomness.
    """

    def __init__(
        self, pool: CandidatePool, split: Split, free: IntArray, feasible: Feasible, kept: BoolArray, inner_epochs: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        super().__init__(pool.interactions.users[free], feasible)
        self.free, self.size = free, len(pool)
        self.inner = InnerTraining(pool, split.valid, rng, WARM_EPOCHS, inner_epochs, VALID_NEGATIVES)
        self.inner.warm_start(kept)

    def losses(self, masks: BoolArray) -> Floats:
        """One training each, under randomness that the masks of a call share."""
        whole = np.ones((len(masks), self.size), dtype=np.bool_)
        whole[:, self.free] = masks
        return self.inner.masked_losses(whole)


def movielens(data: Path, seed: int, margin: float) -> Problem:
    """A quarter of MovieLens-100K, from a pool like the quality benchmark's; one inner epoch in place of three."""
    split = load_split("ml-100k", data, seed)
    pool = Source(split, seed, TEACHING).pool
    whole = FeasibleSet(pool, TAIL_THRESHOLD, Budget.from_ratio(RATIO, split.train))
    feasible = Feasible(len(whole.free), whole.left, margin)
    kept = whole.final_set(whole.start("constant", 1.0))
    return Trained(pool, split, whole.free, feasible, kept, 1, numpy_rng(seed, "convergence", "inner"))


def enumerated(_: Path, seed: int, margin: float) -> Problem:
    """Twelve free candidates, six of them noise, on a planted catalogue of 12 users and 20 items.

    All 4,096 masks are trained on in one call, so under the same seeds: the loss is a function of the mask.
    """
    planted = plant(SyntheticConfig(n_users=12, n_items=20, n_interactions=100, n_clusters=2, seed=seed))
    split = random_split(Interactions.of(planted.users, planted.items, 12, 20), 0.2, 0.1, seed)
    rng = numpy_rng(seed, "convergence", "problem")
    pool = _with_noise(split, N_FREE // 2, rng)
    observed = rng.choice(np.flatnonzero(pool.observed), N_FREE - N_FREE // 2, replace=False)
    free = np.sort(np.concatenate((np.flatnonzero(~pool.observed), observed)))
    held = np.ones(len(pool), dtype=np.bool_)
    held[free] = False
    feasible = Feasible(N_FREE, N_KEPT, margin)
    trained = Trained(pool, split, free, feasible, held, 3, rng)
    return Enumerated(trained.users, feasible, trained.losses(all_masks(N_FREE)))


def _with_noise(split: Split, n_noise: int, rng: np.random.Generator) -> CandidatePool:
    """Train, and random pairs that are in none of the parts."""
    train = split.train
    taken = np.zeros((train.n_users, train.n_items), dtype=np.bool_)
    for part in (split.train, split.valid, split.test):
        taken[part.users, part.items] = True
    noise = rng.choice(np.flatnonzero(~taken), n_noise, replace=False)
    users, items = np.divmod(noise, train.n_items)
    both = Interactions.of(
        np.concatenate((train.users, users)), np.concatenate((train.items, items)), train.n_users, train.n_items
    )
    known = np.zeros_like(taken)
    known[train.users, train.items] = True
    return CandidatePool(both, known[both.users, both.items], np.zeros(len(both), dtype=np.float32))


@dataclass(frozen=True)
class Setting:
    """How a problem is run: fixed beforehand, the same for every estimator.

    Args:
        dataset: Name in the results.
        build: Data folder, seed and margin to the problem.
        smoothness: Lipschitz constant of the gradient; None where it follows from the enumeration.
        epochs: Outer epochs.
        n_samples: Masks of each of the two estimates of an epoch.
        seeds: Each with data, trainings and draws of its own.
        margins: How far probabilities stay from 0 and 1; 0 is the box of ``dconrec``.
        estimators: Which are run.
    """

    dataset: str
    build: Callable[[Path, int, float], Problem]
    smoothness: float | None
    epochs: int
    n_samples: int
    seeds: tuple[int, ...]
    margins: tuple[float, ...] = (MARGIN,)
    estimators: tuple[Estimator, ...] = ESTIMATORS


SETTINGS = (
    Setting("12 candidates", enumerated, None, 500, 64, (0, 1, 2, 3, 4), (MARGIN, 0.0)),
    Setting("ml-100k", movielens, SECANT, 100, 64, (0, 1, 2)),
    Setting("ml-100k", movielens, SECANT, 100, 16, (0,), estimators=ESTIMATORS[-1:]),
    Setting("ml-100k", movielens, SECANT, 100, 256, (0,), estimators=ESTIMATORS[-1:]),
    Setting("ml-100k", movielens, SECANT, 100, 1024, (0, 1), estimators=ESTIMATORS[-1:]),
)
"""The last three tell what the number of masks does."""
