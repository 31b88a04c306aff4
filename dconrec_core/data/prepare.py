"""From ratings to implicit interactions over dense ids; what a rule drops is counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dconrec_core.data.raw import ITEM, PART, RATING, TIMESTAMP, TITLE, USER, require_columns
from dconrec_core.errors import DataError
from dconrec_core.types import Interactions


@dataclass(frozen=True)
class Prepared:
    """Interactions, and how their dense ids translate to the source's.

    Args:
        interactions: Distinct pairs, dense ids in the sorted order of the original ones.
        timestamps: Seconds, int64 ``[nnz]`` aligned with ``interactions``, where the source has them.
        parts: ``train``, ``valid`` or ``test``, ``[nnz]`` aligned likewise, where the source has its own split.
        users: ``user`` (int32, 0, 1, …) and ``user_id``.
        items: ``item``, ``item_id`` and ``title`` where titles are known.
        dropped: Rows that each rule dropped, by the rule in words; rules that dropped none are listed too.
    """

    interactions: Interactions
    timestamps: npt.NDArray[np.int64] | None
    parts: npt.NDArray[np.str_] | None
    users: pd.DataFrame
    items: pd.DataFrame
    dropped: Mapping[str, int]


def prepare(
    ratings: pd.DataFrame, titles: pd.DataFrame | None = None, *, threshold: float | None = None, k_core: int = 0
) -> Prepared:
    """Threshold, then duplicates, then k-core, then dense ids.

    Args:
        ratings: ``user_id``, ``item_id`` and perhaps ``rating``, ``timestamp`` and ``part``; no value missing.
        titles: ``item_id`` and ``title`` of any items.
        threshold: Ratings at or above it count as interactions; without one, every row does.
        k_core: Users and items with fewer interactions are dropped, over and over, until none is left.

    Raises:
        DataError: A column is missing, an id is missing, or no interaction is left.
    """
    require_columns("the ratings table", ratings, [USER, ITEM])
    for name in (USER, ITEM):
        if n_missing := int(ratings[name].isna().sum()):
            raise DataError(f"{name} is missing in {n_missing} of {len(ratings)} rows; validate the table first")
    dropped: dict[str, int] = {}
    rows = ratings.reset_index(drop=True)  # a table of several parts may have each label more than once
    if threshold is not None:
        rows = _at_least(rows, threshold)
        dropped[f"rating below {threshold:g}"] = len(ratings) - len(rows)
    n_before = len(rows)
    rows = rows[~repeated_pairs(rows)]
    dropped["repeated user and item"] = n_before - len(rows)
    if k_core > 1:
        n_before = len(rows)
        rows = rows[in_core(rows[USER], rows[ITEM], k_core)]
        dropped[f"user or item with fewer than {k_core} interactions"] = n_before - len(rows)
    if rows.empty:
        rules = ", ".join(f"{count} by '{rule}'" for rule, count in dropped.items()) or "there were none"
        raise DataError(
            f"no interaction is left of {len(ratings)} rows ({rules}); lower prepare.threshold or prepare.k_core"
        )
    return _dense(rows, titles, dropped)


def repeated_pairs(rows: pd.DataFrame) -> pd.Series:
    """Rows whose user and item occur in another row that stays: the latest where there are times, else the first."""
    if TIMESTAMP not in rows:
        return rows.duplicated([USER, ITEM], keep="first")
    # Stable, so that of two rows with the same time the first stays.
    latest_first = rows.sort_values(TIMESTAMP, ascending=False, kind="stable")
    return latest_first.duplicated([USER, ITEM], keep="first").reindex(rows.index)


def in_core(users: pd.Series, items: pd.Series, k: int) -> npt.NDArray[np.bool_]:
    """Rows of the k-core, the largest part in which every user and every item has at least ``k`` rows.

    Args:
        users: User of each row, ``[n]``.
        items: Item of each row, ``[n]``.
        k: Fewest rows.

    Returns:
        Mask ``[n]``.
    """
    ids = [pd.factorize(column)[0] for column in (users, items)]
    keep = np.ones(len(users), dtype=bool)
    while True:
        size = int(keep.sum())
        for column in ids:
            keep &= np.bincount(column[keep], minlength=int(column.max(initial=-1)) + 1)[column] >= k
        if keep.sum() == size:
            return keep


def _at_least(rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    if RATING not in rows:
        raise DataError(
            f"prepare.threshold is {threshold:g}, but the data has no ratings; set prepare.threshold: null, "
            "or name the column in dataset.config.rating"
        )
    return rows[rows[RATING] >= threshold]


def _dense(rows: pd.DataFrame, titles: pd.DataFrame | None, dropped: Mapping[str, int]) -> Prepared:
    users, user_ids = pd.factorize(rows[USER], sort=True)
    items, item_ids = pd.factorize(rows[ITEM], sort=True)
    order = np.lexsort((items, users))
    interactions = Interactions.of(users, items, len(user_ids), len(item_ids))
    timestamps = rows[TIMESTAMP].to_numpy(dtype=np.int64)[order] if TIMESTAMP in rows else None
    parts = rows[PART].to_numpy(dtype=np.str_)[order] if PART in rows else None
    catalogue = pd.DataFrame({"item": np.arange(len(item_ids), dtype=np.int32), ITEM: item_ids})
    if titles is not None:
        known = titles.drop_duplicates(ITEM).set_index(ITEM)[TITLE]
        catalogue[TITLE] = known.reindex(catalogue[ITEM]).to_numpy()
    return Prepared(
        interactions,
        timestamps,
        parts,
        pd.DataFrame({"user": np.arange(len(user_ids), dtype=np.int32), USER: user_ids}),
        catalogue,
        dropped,
    )
