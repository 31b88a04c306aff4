"""One user's history before and after: the plainest answer to what condensation does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from dconrec_core.types import Interactions

Mark = Literal["kept", "left out", "added"]


@dataclass(frozen=True)
class Entry:
    """An item in a history."""

    title: str
    mark: Mark


@dataclass(frozen=True)
class History:
    """The same user in the training data and in the condensed set, popular items first.

    Args:
        user_id: In the source.
        mixed: Whether the user was chosen among those with observed and pseudo interactions, else among all in the set.
        before: In the training data.
        after: In the condensed set.
    """

    user_id: str
    mixed: bool
    before: Sequence[Entry]
    after: Sequence[Entry]


def typical_history(train: Interactions, condensed: pd.DataFrame, items: pd.DataFrame) -> History:
    """The history of a user of median activity, among those with observed and pseudo interactions if there are any.

    Args:
        train: The full training interactions.
        condensed: Columns user (those of ``train``), item, user_id, observed.
        items: The catalogue: item, item_id, and title where the source has one.
    """
    observed_share = condensed.groupby("user")["observed"].mean()
    mixed = observed_share[(observed_share > 0) & (observed_share < 1)]
    user = _median_user((mixed if len(mixed) else observed_share).index.to_numpy(), train)
    return _history(user, len(mixed) > 0, train, condensed[condensed["user"] == user], titles_of(items))


def _median_user(candidates: np.ndarray, train: Interactions) -> int:
    degree = train.user_degree[candidates]
    return int(candidates[np.lexsort((candidates, np.abs(degree - np.median(degree))))[0]])


def _history(
    user: int, mixed: bool, train: Interactions, condensed: pd.DataFrame, titles: Mapping[int, str]
) -> History:
    had = train.items[train.indptr[user] : train.indptr[user + 1]]
    kept = set(condensed.loc[condensed["observed"], "item"])
    has = condensed["item"].to_numpy()

    def entries(items: np.ndarray, marks: tuple[Mark, Mark]) -> list[Entry]:
        order = np.lexsort((items, -train.item_degree[items]))
        return [Entry(titles.get(item, f"item {item}"), marks[item not in kept]) for item in items[order].tolist()]

    user_id = str(condensed["user_id"].iloc[0])
    return History(user_id, mixed, entries(had, ("kept", "left out")), entries(has, ("kept", "added")))


def titles_of(items: pd.DataFrame) -> dict[int, str]:
    """Title by dense id; the source's own id where there is no title."""
    names = "item " + items["item_id"].astype(str)
    if "title" in items:
        names = items["title"].astype("string").fillna(names)
    return dict(zip(items["item"], names, strict=True))
