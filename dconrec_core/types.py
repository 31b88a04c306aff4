"""The types every part of the system hands to the next; each checks itself, so that what exists is valid."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dconrec_core.errors import BudgetError, DataError

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


def int32_ids(name: str, ids: npt.ArrayLike) -> IntArray:
    """``ids`` as int32; what int32 cannot hold is an error and never becomes another id.

    Raises:
        DataError: An id is not a whole number, or too large.
    """
    given = np.asarray(ids)
    if given.dtype.kind not in "iuf":
        raise DataError(f"{name} ids are {given.dtype}, expected whole numbers")
    with np.errstate(invalid="ignore"):  # the comparison finds what the cast could not keep
        converted = given.astype(np.int32)
    if (wrong := converted != given).any():
        raise DataError(f"{name} ids hold {given[wrong][0]}, expected whole numbers below {2**31}")
    return converted


@dataclass(frozen=True)
class Interactions:
    """Distinct user–item pairs over a fixed catalogue, sorted by user then item.

    The catalogue size travels with the pairs: it must not shrink when condensation removes the last row of an item.

    Args:
        users: Dense 0-based user ids, int32 ``[nnz]``.
        items: Dense 0-based item ids, int32 ``[nnz]``.
        n_users: Users in the catalogue.
        n_items: Items in the catalogue.

    Raises:
        DataError: Lengths differ, an id is outside the catalogue, or a pair occurs twice or out of order.
    """

    users: IntArray
    items: IntArray
    n_users: int
    n_items: int

    def __post_init__(self) -> None:
        if len(self.users) != len(self.items):
            raise DataError(
                f"{len(self.users)} users but {len(self.items)} items: one of each per interaction is needed"
            )
        for name, ids, size in (("user", self.users, self.n_users), ("item", self.items, self.n_items)):
            if ids.dtype != np.int32:
                raise DataError(f"{name} ids are {ids.dtype}, expected int32")
            if len(ids) and (ids.min() < 0 or ids.max() >= size):
                raise DataError(f"{name} ids span {ids.min()}..{ids.max()}, the catalogue is 0..{size - 1}")
        steps = np.diff(self._keys)
        if (steps > 0).all():
            return
        if (steps < 0).any():
            raise DataError("interactions must be sorted by user, then item; use Interactions.of")
        place = int(np.argmin(steps))
        pair = f"user {self.users[place]} has item {self.items[place]}"
        raise DataError(f"{pair} more than once; keep each pair once, in pandas by drop_duplicates")

    @classmethod
    def of(cls, users: npt.ArrayLike, items: npt.ArrayLike, n_users: int, n_items: int) -> "Interactions":
        """Sort pairs given in any order; duplicates are an error, never dropped in silence."""
        users, items = int32_ids("user", users), int32_ids("item", items)
        if len(users) != len(items):
            raise DataError(f"{len(users)} users but {len(items)} items: one of each per interaction is needed")
        order = np.lexsort((items, users))
        return cls(users[order], items[order], n_users, n_items)

    @property
    def _keys(self) -> npt.NDArray[np.int64]:
        return self.users.astype(np.int64) * self.n_items + self.items

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def indptr(self) -> npt.NDArray[np.int64]:
        """Row offsets by user, int64 ``[n_users + 1]``: user u's items are ``items[indptr[u]:indptr[u + 1]]``."""
        return np.concatenate(([0], np.cumsum(self.user_degree))).astype(np.int64)

    @cached_property
    def user_degree(self) -> npt.NDArray[np.int64]:
        """Interactions per user, ``[n_users]``."""
        return np.bincount(self.users, minlength=self.n_users)

    @cached_property
    def item_degree(self) -> npt.NDArray[np.int64]:
        """Interactions per item (its popularity), ``[n_items]``."""
        return np.bincount(self.items, minlength=self.n_items)

    def csr(self) -> sparse.csr_array:
        """Binary float32 matrix ``[n_users, n_items]``."""
        data = np.ones(len(self), dtype=np.float32)
        return sparse.csr_array((data, self.items, self.indptr), shape=(self.n_users, self.n_items))

    def take(self, keep: npt.NDArray[Any]) -> "Interactions":
        """The rows that a boolean mask or an increasing index selects, over the same catalogue."""
        return Interactions(self.users[keep], self.items[keep], self.n_users, self.n_items)

    def among(self, items: IntArray) -> "Interactions":
        """The interactions with ``items`` (increasing) alone, over a catalogue of these, each its place among them."""
        number = np.full(self.n_items, -1, dtype=np.int32)
        number[items] = np.arange(len(items), dtype=np.int32)
        kept = number[self.items] >= 0
        return Interactions(self.users[kept], number[self.items[kept]], self.n_users, len(items))

    def contains(self, other: "Interactions") -> BoolArray:
        """For each pair of ``other``, whether it is here; bool ``[len(other)]``."""
        position = np.searchsorted(self._keys, other._keys)
        found = position < len(self)
        found[found] = self._keys[position[found]] == other._keys[found]
        return found

    def same_catalogue(self, other: "Interactions") -> bool:
        """Whether both speak of the same users and items."""
        return (self.n_users, self.n_items) == (other.n_users, other.n_items)

    def fingerprint(self) -> str:
        """SHA-256 over the catalogue size and the pairs, independent of file format."""
        digest = hashlib.sha256(f"{self.n_users},{self.n_items},{len(self)}".encode())
        digest.update(self.users.astype("<i4").tobytes())
        digest.update(self.items.astype("<i4").tobytes())
        return digest.hexdigest()


PARTS = ("train", "valid", "test")
"""Of a split, in this order."""


@dataclass(frozen=True)
class Split:
    """Train, valid and test interactions over one catalogue, pairwise disjoint."""

    train: Interactions
    valid: Interactions
    test: Interactions

    def __post_init__(self) -> None:
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        for name, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            if not parts[name].same_catalogue(parts[other]):
                raise DataError(f"{name} and {other} have different catalogues")
            if shared := int(parts[name].contains(parts[other]).sum()):
                raise DataError(f"{name} and {other} share {shared} interactions; they must be disjoint")


@dataclass(frozen=True)
class CandidatePool:
    """What a condenser may choose from: observed training interactions and the teacher's pseudo interactions.

    Args:
        interactions: All candidates, ``[n]``.
        observed: True for a training interaction, False for a pseudo interaction, bool ``[n]``.
        score: The teacher's score of each candidate, float32 ``[n]``.
    """

    interactions: Interactions
    observed: BoolArray
    score: FloatArray

    def __post_init__(self) -> None:
        if not len(self.interactions) == len(self.observed) == len(self.score):
            raise DataError(
                f"candidate pool has {len(self.interactions)} interactions, {len(self.observed)} origins "
                f"and {len(self.score)} scores"
            )
        if not np.isfinite(self.score).all():
            raise DataError(
                f"{int((~np.isfinite(self.score)).sum())} candidates have a teacher score that is not finite"
            )

    def __len__(self) -> int:
        return len(self.interactions)

    @property
    def train(self) -> Interactions:
        """The observed training interactions."""
        return self.interactions.take(self.observed)


@dataclass(frozen=True)
class Budget:
    """The most interactions a condensed set may hold. Pseudo interactions and kept tails count like any other."""

    n_interactions: int

    def __post_init__(self) -> None:
        if self.n_interactions < 1:
            raise BudgetError(f"budget is {self.n_interactions} interactions; it must be at least 1")

    @classmethod
    def from_ratio(cls, ratio: float, train: Interactions, key: str = "condense.ratio") -> "Budget":
        """``floor(ratio * |train|)``; the denominator is always the observed training interactions.

        Args:
            ratio: As it is written in decimals, and not as binary rounding has it: 0.29 of 100 is 29.
            train: The observed training interactions.
            key: Where the ratio was set, for the message.

        Raises:
            BudgetError: ``ratio`` is outside (0, 1] or leaves no interaction at all.
        """
        if not 0 < ratio <= 1:
            raise BudgetError(f"{key} is {ratio}; it must be above 0 and at most 1")
        n_interactions = int(Fraction(repr(float(ratio))) * len(train))
        if not len(train):
            raise BudgetError("there are no training interactions to take a part of; look at what split.train leaves")
        if n_interactions < 1:
            smallest = math.ceil(1e9 / len(train)) / 1e9  # rounded up, or it would not do
            raise BudgetError(
                f"{key} is {ratio}: a budget of 0 of {len(train)} training interactions; "
                f"the smallest ratio that keeps one is {smallest:.10g}"
            )
        return cls(n_interactions)


@dataclass(frozen=True)
class CondensedDataset:
    """A discrete interaction set within its budget. One over budget cannot be constructed.

    Its items are always those of the source. Its users are too, unless it is ``inductive``: then they are a user base
    of its own, made up or sampled, numbered from 0, and a model trained on it folds real users in from their histories.

    Args:
        interactions: The chosen pairs, ``[n]`` with ``n <= budget``.
        observed: Whether each pair is an observed training interaction, bool ``[n]``; in an inductive set, whether its
            history was copied from a real user's. Such a set is copied as a whole or made up as a whole.
        keep_prob: Keep-probability of each pair at the end of the search, float32 ``[n]``; 1 where there was no search.
        budget: The budget it was made under.
        condenser: Name in ``CONDENSERS``.
        config: The condenser's settings.
        seed: Seed of the condensation.
        source: Fingerprint of the training interactions it stands for.
        n_source: Number of those interactions.
        n_users_source: Users of the source's catalogue.
        inductive: Whether its users are not the catalogue's. Each of them then has at least one interaction.
        notes: What the condenser wants remembered in the card (chosen epoch, validation metrics …), JSON values.
    """

    interactions: Interactions
    observed: BoolArray
    keep_prob: FloatArray
    budget: Budget
    condenser: str
    config: Mapping[str, Any]
    seed: int
    source: str
    n_source: int
    n_users_source: int
    inductive: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = len(self.interactions)
        if size > self.budget.n_interactions:
            raise BudgetError(
                f"condensed set has {size} interactions, its budget is {self.budget.n_interactions} "
                f"(ratio {self.budget.n_interactions / max(self.n_source, 1):.4g} of {self.n_source} "
                "training interactions)"
            )
        if not size == len(self.observed) == len(self.keep_prob):
            raise DataError(
                f"condensed set has {size} pairs, {len(self.observed)} origins, {len(self.keep_prob)} probabilities"
            )
        if size and not (self.keep_prob.min() >= 0 and self.keep_prob.max() <= 1):
            raise DataError(f"keep_prob spans {self.keep_prob.min()}..{self.keep_prob.max()}, outside 0..1")
        self._check_users()

    def _check_users(self) -> None:
        pairs = self.interactions
        if not self.inductive:
            if pairs.n_users != self.n_users_source:
                raise DataError(
                    f"condensed set has {pairs.n_users} users, its source {self.n_users_source}; "
                    "a set over users of its own is inductive"
                )
            return
        if len(empty := np.flatnonzero(pairs.user_degree == 0)):
            raise DataError(
                f"user {empty[0]} of {pairs.n_users} in the inductive set has no interaction; leave such users out"
            )
        if self.observed.any() and not self.observed.all():
            raise DataError(
                f"{int(self.observed.sum())} of {len(self)} pairs of the inductive set are observed; "
                "its histories are all copied from real users or all made up"
            )

    @property
    def synthetic(self) -> bool:
        """Whether its users are made up: nobody in the source has their histories."""
        return self.inductive and not self.observed.any()

    def __len__(self) -> int:
        return len(self.interactions)

    @property
    def ratio(self) -> float:
        """|C| / |T|, the true one."""
        return len(self) / self.n_source
