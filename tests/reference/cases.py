"""Fixed rankings to be judged by two evaluators; NumPy alone, since RecBole's environment cannot import the core."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

N_USERS, N_ITEMS = 80, 150
CUTOFFS = (5, 10, 20)
Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Case:
    """Interactions as (user, item) pairs, and a score for every user and item, float32 ``[N_USERS, N_ITEMS]``."""

    train: Pairs
    valid: Pairs
    test: Pairs
    scores: npt.NDArray[np.float32]

    def sha256(self) -> str:
        """Of everything above, so that expected values cannot outlive the inputs they were made from."""
        pairs = np.array([*self.train, (-1, -1), *self.valid, (-1, -1), *self.test], dtype="<i4")
        return hashlib.sha256(pairs.tobytes() + self.scores.astype("<f4").tobytes()).hexdigest()


def cases() -> dict[str, Case]:
    """``distinct``: no two scores of a user are equal. ``ties``: six levels only, so that most of the order is ties."""
    rng = np.random.default_rng(20230)
    train, valid, test = _interactions(rng)
    order = rng.random((N_USERS, N_ITEMS)).argsort(axis=1).astype(np.float32)
    levels = np.floor(rng.random((N_USERS, N_ITEMS)) * 6).astype(np.float32)
    return {
        "distinct": Case(train, valid, test, order - 70),  # negative scores too
        "ties": Case(train, valid, test, levels),
    }


def _interactions(rng: np.random.Generator) -> tuple[Pairs, Pairs, Pairs]:
    """Users of every kind an evaluator can get wrong. Every id occurs, since RecBole learns ids from rows."""
    train: Pairs = []
    valid: Pairs = []
    test: Pairs = []
    for user in range(N_USERS):
        items = [int(item) for item in rng.random(N_ITEMS).argsort()]
        match user:
            case 0:  # nothing to find in the test
                sizes = (20, 3, 0)
            case 1:  # nothing to find in valid
                sizes = (20, 0, 3)
            case 2:  # 140 of 150 items seen: fewer candidates than the largest cut-off
                sizes = (130, 10, 4)
            case 3:  # more to find than the largest cut-off
                sizes = (10, 30, 40)
            case 4:  # all candidates but one are right; RecBole refuses users who have every item
                sizes = (100, 20, 29)
            case 5:  # one of each
                sizes = (1, 1, 1)
            case _:
                sizes = (5 + user % 40, 1 + user % 5, 1 + user % 7)
        first, second, third = np.cumsum(sizes)
        train += [(user, item) for item in items[:first]]
        valid += [(user, item) for item in items[first:second]]
        test += [(user, item) for item in items[second:third]]
    return train, valid, test
