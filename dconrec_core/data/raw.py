"""What every source becomes before anything judges it: a table in the source's own ids, and facts about it."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.registry import suggest

USER, ITEM, RATING, TIMESTAMP, TITLE, PART = "user_id", "item_id", "rating", "timestamp", "title", "part"
NUMBERS = (RATING, TIMESTAMP)
LARGEST_ID = 2**63 - 1
EXACT_BELOW = 2**53
"""From here on neighbouring whole numbers are one float64."""


@dataclass(frozen=True)
class RawTable:
    """Rows as the source has them, bad ones included: columns have their names, values are not judged yet.

    Args:
        frame: ``user_id``, ``item_id`` and, where the source has them, ``rating``, ``timestamp`` (seconds) and ``part``
            (of the source's own split), in the source's order. A column that should hold numbers but does not is text.
        items: ``item_id`` and ``title``, where the source has titles.
        rating_range: Smallest and largest rating there can be, where the source says so.
        source: Where it comes from, for people.
        sha256: Identity of the content.

    Raises:
        DataError: ``frame`` or ``items`` lacks a column.
    """

    frame: pd.DataFrame
    items: pd.DataFrame | None
    rating_range: tuple[float, float] | None
    source: str
    sha256: str

    def __post_init__(self) -> None:
        require_columns(self.source, self.frame, [USER, ITEM])
        if self.items is not None:
            require_columns(f"{self.source} (titles)", self.items, [ITEM, TITLE])


class Loader(Protocol):
    """A dataset with its settings."""

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read it; what has to be fetched is kept in ``cache``, and ``options.on_epoch`` hears each MiB."""
        ...


def require_columns(where: str, columns: Iterable[Hashable], wanted: Iterable[str]) -> None:
    """Say which wanted column is missing.

    Raises:
        DataError: One is; the nearest name there is is offered.
    """
    there = [str(column) for column in columns]
    for name in wanted:
        if name not in there:
            raise DataError(f"{where} has no column {name!r}; {suggest(name, there)}")


def as_ids(values: pd.Series, *, text: bool = False) -> pd.Series:
    """Ids as whole numbers where every one is, else as text; ``text`` keeps them text in any case.

    ``007`` is not the number 7: a value counts as whole only where it is written as Python would write it. Neither is
    a float64 that may stand for several whole numbers, or what no int64 holds.
    """
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("str")
    if pd.api.types.is_integer_dtype(values.dtype) and (values.isna() | (values <= LARGEST_ID)).all():
        return values.astype("str") if text else _narrow(values.astype("Int64"))
    if (
        pd.api.types.is_float_dtype(values.dtype)
        and (values.isna() | (values % 1 == 0) & (values.abs() < EXACT_BELOW)).all()
    ):
        whole = values.astype("Float64").astype("Int64")
        return whole.astype("str") if text else _narrow(whole)
    words = values.astype("str")
    there = words.dropna()
    are_whole = not text and len(there) > 0 and bool(there.str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all())
    return _narrow(words.astype("Int64")) if are_whole else words


def as_numbers(values: pd.Series) -> pd.Series:
    """Numbers as float64 where every value that is there is one, else unchanged, for a check to name the bad ones."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    numbers = pd.to_numeric(values, errors="coerce")
    return values if (numbers.isna() & values.notna()).any() else numbers.astype("float64")


def _narrow(values: pd.Series) -> pd.Series:
    """NumPy's int64 where nothing is missing: the plain type has fewer surprises in what comes after."""
    return values if values.isna().any() else values.astype("int64")
