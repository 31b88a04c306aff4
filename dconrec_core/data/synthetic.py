"""Interactions with a planted structure, of any size: what a method should find is known, and nothing is downloaded.

Every user belongs to one cluster and every item to one. A user draws from the own cluster with probability ``purity``,
else from any, and within a cluster by power-law popularity; so the matrix of preferences has rank ``n_clusters``.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from dconrec_core.data.raw import ITEM, RATING, TIMESTAMP, TITLE, USER, RawTable
from dconrec_core.options import RunOptions
from dconrec_core.registry import Config
from dconrec_core.rng import numpy_rng

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FIRST_SECOND, LAST_SECOND = 1_577_836_800, 1_704_067_200  # the years 2020 to 2023
BIASED_ROUNDS = 30
"""Rounds of draws by taste; what is still missing then (tiny, crowded catalogues) is drawn evenly."""


class SyntheticConfig(Config):
    """Size and structure."""

    n_users: int = Field(1_000, ge=2)
    n_items: int = Field(1_500, ge=2)
    n_interactions: int = Field(50_000, ge=2)
    """Distinct pairs, exactly; every user has one at least, an item may have none."""
    n_clusters: int = Field(8, ge=1)
    purity: float = Field(0.8, ge=0, le=1)
    """Share of a user's draws from the own cluster; 0 plants nothing but popularity."""
    popularity_exponent: float = Field(0.8, ge=0)
    """Of the power law by rank; 0 makes all items alike."""
    activity_spread: float = Field(0.8, ge=0)
    """Spread of the log-normal law of the users' activity; 0 makes all users alike."""
    seed: int = Field(0, ge=0)
    """Of the data. It is the dataset's own, so that the pipeline's seed can change without the data."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        cells = self.n_users * self.n_items
        if not self.n_users <= self.n_interactions <= cells // 2:
            raise ValueError(
                f"n_interactions {self.n_interactions} must be between n_users {self.n_users} and half of all "
                f"{cells} pairs"
            )
        if self.n_clusters > min(self.n_items, self.n_users):
            raise ValueError(f"n_clusters {self.n_clusters} is more than there are users or items")
        return self


@dataclass(frozen=True)
class Planted:
    """Generated pairs with the truth behind them.

    Args:
        users: int64 ``[n]``.
        items: int64 ``[n]``.
        user_cluster: int64 ``[n_users]``.
        item_cluster: int64 ``[n_items]``.
    """

    users: Ints
    items: Ints
    user_cluster: Ints
    item_cluster: Ints

    @property
    def at_home(self) -> npt.NDArray[np.bool_]:
        """Whether a pair's user and item share a cluster, ``[n]``."""
        home: npt.NDArray[np.bool_] = self.user_cluster[self.users] == self.item_cluster[self.items]
        return home


def plant(config: SyntheticConfig) -> Planted:
    """Draw the pairs; time and memory grow with their number, never with users times items."""
    rng = numpy_rng(config.seed, "synthetic")
    user_cluster, item_cluster = (_even(rng, size, config.n_clusters) for size in (config.n_users, config.n_items))
    draw = _Draws(config, rng, user_cluster, item_cluster)
    keys = draw.pairs(np.arange(config.n_users))  # one each, first
    rounds = 0
    while (missing := config.n_interactions - len(keys)) > 0:
        users = draw.users(missing + missing // 4 + 8)
        by_taste = rounds < BIASED_ROUNDS
        more = draw.pairs(users) if by_taste else rng.integers(config.n_users * config.n_items, size=len(users))
        keys = pd.unique(np.concatenate((keys, more)))[: config.n_interactions]
        rounds += 1
    users, items = np.divmod(keys, config.n_items)
    return Planted(users, items, user_cluster, item_cluster)


class _Draws:
    """Random pairs, as keys ``user * n_items + item``."""

    def __init__(
        self, config: SyntheticConfig, rng: np.random.Generator, user_cluster: Ints, item_cluster: Ints
    ) -> None:
        self._config, self._rng, self._user_cluster = config, rng, user_cluster
        activity = np.exp(config.activity_spread * rng.standard_normal(config.n_users))
        self._activity = np.cumsum(activity)
        popularity = (1.0 + rng.permutation(config.n_items)) ** -config.popularity_exponent
        self._order = np.argsort(item_cluster, kind="stable")
        self._popularity = np.concatenate(([0.0], np.cumsum(popularity[self._order])))
        self._start = np.searchsorted(item_cluster[self._order], np.arange(config.n_clusters + 1))

    def users(self, size: int) -> Ints:
        """Users by activity."""
        return _pick(self._activity, self._rng.random(size) * self._activity[-1])

    def pairs(self, users: Ints) -> Ints:
        """One item for each of ``users``: a cluster by taste, then an item of it by popularity."""
        anywhere = self._rng.integers(self._config.n_clusters, size=len(users))
        at_home = self._rng.random(len(users)) < self._config.purity
        cluster = np.where(at_home, self._user_cluster[users], anywhere)
        low, high = self._start[cluster], self._start[cluster + 1]
        mass = self._popularity[low] + self._rng.random(len(users)) * (self._popularity[high] - self._popularity[low])
        place = _pick(self._popularity[1:], mass).clip(low, high - 1)  # rounding may step over a cluster's edge
        keys: Ints = users * self._config.n_items + self._order[place]
        return keys


def _pick(cumulative: Floats, mass: Floats) -> Ints:
    place: Ints = np.minimum(np.searchsorted(cumulative, mass, side="right"), len(cumulative) - 1)
    return place


def _even(rng: np.random.Generator, size: int, n_clusters: int) -> Ints:
    """Clusters of (nearly) the same size, none empty."""
    return np.asarray(rng.permutation(size) % n_clusters, dtype=np.int64)


@dataclass(frozen=True)
class SyntheticDataset:
    """A table with planted structure: ratings are higher at home, titles name the cluster."""

    config: SyntheticConfig

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Generate it; the same config gives the same rows on every machine."""
        config = self.config
        planted = plant(config)
        rng = numpy_rng(config.seed, "synthetic", "ratings")
        taste = np.where(planted.at_home, 4.2, 3.0) + 0.8 * rng.standard_normal(len(planted.users))
        frame = pd.DataFrame(
            {
                USER: planted.users,
                ITEM: planted.items,
                RATING: taste.round().clip(1, 5),
                TIMESTAMP: rng.integers(FIRST_SECOND, LAST_SECOND, size=len(planted.users)),
            }
        )
        titles = [f"Item {item} of cluster {cluster}" for item, cluster in enumerate(planted.item_cluster.tolist())]
        items = pd.DataFrame({ITEM: np.arange(config.n_items), TITLE: titles})
        digest = hashlib.sha256(json.dumps(config.model_dump()).encode())
        for column in (USER, ITEM):
            digest.update(frame[column].to_numpy().astype("<i8").tobytes())
        return RawTable(frame, items, (1.0, 5.0), f"planted structure, seed {config.seed}", digest.hexdigest())
