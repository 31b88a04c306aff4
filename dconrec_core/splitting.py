"""Per-user splits into train, valid and test: at random (8 : 1 : 1 by default), by time, or as the source has it."""

import numpy as np
import numpy.typing as npt

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.rng import numpy_rng
from dconrec_core.types import PARTS, Interactions, Split


def random_split(interactions: Interactions, valid: float, test: float, seed: int) -> Split:
    """Split each user's interactions at random.

    Args:
        interactions: Everything that was observed.
        valid: Share of each user's interactions for validation.
        test: Share for the test.
        seed: Seed of the shuffle.

    Returns:
        A split in which every user with an interaction keeps at least one for training; see ``part_sizes``.

    Raises:
        ConfigError: ``valid`` and ``test`` leave nothing to train on.
    """
    sizes = part_sizes(interactions.user_degree, valid, test)
    return _split(interactions, numpy_rng(seed, "split").random(len(interactions)), valid, test, sizes)


def temporal_split(interactions: Interactions, timestamps: npt.NDArray[np.int64], valid: float, test: float) -> Split:
    """Split each user's interactions by time: the latest are the test, the ones before them valid.

    Shares are of the latest, so valid and test together are rounded down, and not each: with one more interaction a
    user's training part stays or grows. Of users who only get later interactions with other items, nothing that a set
    was once made from is asked about later.

    Args:
        interactions: Everything that was observed.
        timestamps: Seconds, int64 ``[nnz]``, aligned with ``interactions``; ties are broken by item id.
        valid: Share of each user's interactions for validation.
        test: Share for the test.

    Raises:
        DataError: ``timestamps`` is not aligned with ``interactions``.
        ConfigError: ``valid`` and ``test`` leave nothing to train on.
    """
    if len(timestamps) != len(interactions):
        raise DataError(f"{len(timestamps)} timestamps for {len(interactions)} interactions; one each is needed")
    n_valid, n_test = part_sizes(interactions.user_degree, valid, test)
    held_out = np.floor(interactions.user_degree * (valid + test) + 1e-9).astype(np.int64)
    return _split(interactions, timestamps, valid, test, (np.maximum(n_valid, held_out - n_test), n_test))


def given_split(interactions: Interactions, parts: npt.NDArray[np.str_], valid: float, seed: int) -> Split:
    """The source's own split; where it has no valid part, each user's is drawn from train at random.

    Args:
        interactions: Everything that was observed.
        parts: ``train``, ``valid`` or ``test``, ``[nnz]``, aligned with ``interactions``.
        valid: Share of each user's training interactions to draw; see ``part_sizes``.
        seed: Seed of the drawing.

    Raises:
        DataError: ``parts`` is not aligned with ``interactions``, or holds something else.
    """
    if len(parts) != len(interactions):
        raise DataError(f"{len(parts)} parts for {len(interactions)} interactions; one each is needed")
    if others := set(np.unique(parts).tolist()) - set(PARTS):
        raise DataError(f"{min(others)!r} is no part of a split; every row must be of {', '.join(PARTS)}")
    train, kept, test = (interactions.take(parts == part) for part in PARTS)
    if len(kept):
        return Split(train, kept, test)
    drawn = random_split(train, valid, 0, seed)
    return Split(drawn.train, drawn.valid, test)


def hold_out_users(interactions: Interactions, share: float, seed: int) -> tuple[Interactions, Interactions]:
    """Keep users out of everything, with all that they had, to measure what a model does for those it never saw.

    Args:
        interactions: Everything that was observed.
        share: Of the users with an interaction, how many to hold out: rounded down, but at least one.
        seed: Seed of the choice.

    Returns:
        The interactions of the kept and of the held-out users, both over the whole catalogue with its ids.

    Raises:
        ConfigError: ``share`` is not between 0 and 1.
        DataError: There are not two users to tell apart.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share of users to hold out is {share}; it must be above 0 and below 1")
    users = np.flatnonzero(interactions.user_degree)
    if len(users) < 2:
        raise DataError(f"{len(users)} users have an interaction; to hold some out and keep some, two are needed")
    chosen = numpy_rng(seed, "hold-out-users").permutation(users)[: max(1, int(share * len(users) + 1e-9))]
    held_out = np.isin(interactions.users, chosen)
    return interactions.take(~held_out), interactions.take(held_out)


def part_sizes(degree: npt.NDArray[np.int64], valid: float, test: float) -> tuple[npt.NDArray[np.int64], ...]:
    """How many of a user's interactions go to valid and to test.

    Each share is rounded down, but for a user with enough interactions it is at least one: three give one of each,
    two give one to train and one to test, one goes to train. Train keeps at least one, whatever the shares. A share
    of 0 gives none.
    """
    n_test = np.where(degree >= 2, np.maximum(np.floor(degree * test + 1e-9), test > 0), 0).astype(np.int64)
    n_valid = np.where(degree >= 3, np.maximum(np.floor(degree * valid + 1e-9), valid > 0), 0).astype(np.int64)
    for_valid = (degree >= 3) & (valid > 0)
    n_test = np.minimum(n_test, np.maximum(degree - 1 - for_valid, 0))
    return np.minimum(n_valid, np.maximum(degree - 1 - n_test, 0)), n_test


def _split(
    interactions: Interactions,
    key: npt.NDArray[np.generic],
    valid: float,
    test: float,
    sizes: tuple[npt.NDArray[np.int64], ...],
) -> Split:
    if valid + test >= 1:
        raise ConfigError(f"split.valid {valid} + split.test {test} leave nothing to train on; keep their sum below 1")
    order = np.lexsort((key, interactions.users))  # per user, by key; rows of a user are contiguous already
    place = np.empty(len(interactions), dtype=np.int64)
    place[order] = np.arange(len(interactions)) - interactions.indptr[interactions.users]
    n_valid, n_test = sizes
    from_end = interactions.user_degree[interactions.users] - 1 - place
    is_test = from_end < n_test[interactions.users]
    is_valid = ~is_test & (from_end < (n_test + n_valid)[interactions.users])
    return Split(*(interactions.take(mask) for mask in (~is_test & ~is_valid, is_valid, is_test)))
