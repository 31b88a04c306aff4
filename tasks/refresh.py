"""New interactions: compared with what is there, then appended to it as a new version of the user's file.

An increment is a file like the one that ``dataset.config`` describes, with rows that are new. What was appended is
remembered beside the file, before the file changes: an increment is never appended twice, also after a crash.
"""

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dconrec_core.atomic import atomic_file, write_json
from dconrec_core.data import DATASETS
from dconrec_core.data.download import file_sha256
from dconrec_core.data.file import PARQUET, FileConfig, FileDataset
from dconrec_core.data.io import read_table
from dconrec_core.data.raw import ITEM, RATING, USER
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions
from tasks.checks import Check, between
from tasks.outputs import read_json
from tasks.params import ChecksParams, Component, RefreshParams
from tasks.validate import judge, sift
from tasks.workspace import Workspace

BINS, LEAST_SHARE = 10, 1e-4


@dataclass(frozen=True)
class Drift:
    """An increment beside what was there before.

    Attributes:
        rows: Rows of the increment.
        growth: The same as a share of the rows before.
        new_users: Share of the increment's users who had no row before.
        new_items: Share of its items that had none.
        popularity_shift: Population stability index of its rows over ten groups of items, equal in rows before, from
            the most popular down; rows of new items apart.
        rating_shift: Population stability index of its ratings, over the values (or the tenths) before.
    """

    rows: int
    growth: float
    new_users: float
    new_items: float
    popularity_shift: float
    rating_shift: float

    @classmethod
    def between(cls, before: pd.DataFrame, increment: pd.DataFrame) -> "Drift":
        """Compare two raw tables."""
        if not len(increment):
            raise DataError("the increment has no rows; leave it out where there is nothing new")
        users, items = (
            (~pd.Series(increment[c].astype(str).unique()).isin(set(before[c].astype(str)))).mean()
            for c in (USER, ITEM)
        )
        ratings = stability(before[RATING], increment[RATING]) if RATING in before else 0.0
        return cls(
            len(increment), len(increment) / max(len(before), 1), float(users), float(items),
            popularity_shift(before[ITEM].astype(str), increment[ITEM].astype(str)), ratings,
        )  # fmt: skip


def popularity_shift(before: pd.Series, after: pd.Series) -> float:
    """See ``Drift.popularity_shift``."""
    counts = before.value_counts()
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    group = np.minimum((BINS * (counts.cumsum() - counts) / max(counts.sum(), 1)).astype(int), BINS - 1)
    return _index(before.map(group), after.map(group).dropna())


def stability(before: pd.Series, after: pd.Series) -> float:
    """Population stability index of a column of numbers; what is missing or no number is left to ``validate``."""
    before, after = (pd.to_numeric(values, errors="coerce").dropna().astype(float) for values in (before, after))
    if before.nunique() > 2 * BINS:
        edges = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
        before, after = (pd.Series(np.searchsorted(edges, values, side="right")) for values in (before, after))
    return _index(before, after)


def _index(before: pd.Series, after: pd.Series) -> float:
    """Σ (q − p) ln(q / p) over the groups, each share at least a ten-thousandth."""
    if not len(before) or not len(after):
        return 0.0
    shares = pd.concat([s.value_counts(normalize=True) for s in (before, after)], axis=1).fillna(0)
    p, q = (np.maximum(shares.iloc[:, side].to_numpy(), LEAST_SHARE) for side in (0, 1))
    return float(((q - p) * np.log(q / p)).sum())


def drift_suite(params: RefreshParams) -> list[Check]:
    """The thresholds as expectations about the one row of a ``Drift``; all critical."""
    way_out = "look at the increment; where it is right, raise refresh.{} in params.yaml"
    bounds = {
        "rows": (params.min_rows, None, "min_rows"),
        "growth": (0, params.max_growth, "max_growth"),
        "new_users": (0, params.max_new_users, "max_new_users"),
        "new_items": (0, params.max_new_items, "max_new_items"),
        "popularity_shift": (0, params.max_popularity_shift, "max_popularity_shift"),
        "rating_shift": (0, params.max_rating_shift, "max_rating_shift"),
    }
    return [
        between(
            column,
            low,
            high,
            "critical",
            f"be at least {low:g}" if high is None else f"be at most {high:g}",
            way_out.format(key),
        )
        for column, (low, high, key) in bounds.items()
    ]


def append(dataset: Component, params: RefreshParams, checks: ChecksParams, increment: Path, files: Workspace) -> bool:
    """Check an increment, by itself and against what is there, and append it; False where that was done before.

    Args:
        dataset: Must be ``file``.
        params: Thresholds.
        checks: What ``validate`` asks of all rows; few bad ones among many would pass there, and spoil the file.
        increment: A file of the same columns.
        files: Where the outcome is written.

    Raises:
        ConfigError: The dataset is not a file of the user's own.
        DataError: A file cannot be read or a threshold does not hold; nothing is appended then.
    """
    config = user_file(dataset)
    sha256, log = _sha256(increment), Increments(config.path)
    if log.finished(sha256):
        return False
    _require_format(config, increment)
    before = FileDataset(config).load(files.cache, RunOptions()).frame
    read = FileDataset(_at(config, increment)).load(files.cache, RunOptions())
    fresh = read.frame
    drift = Drift.between(before, fresh)
    if config.names is not None:
        _refuse_header(config, before, fresh, increment)
    outcomes = judge(str(increment), pd.DataFrame([vars(drift)]).astype("float64"), drift_suite(params))
    sift(str(increment), fresh, read.rating_range, max(checks.max_quarantined, 1 / len(fresh)))
    with atomic_file(config.path, config.path.suffix) as temporary:
        _join(config, increment, temporary)
        joined = _require_rows(config, temporary, before, fresh, increment)
        # Each may pass alone and not the two together: rows of the file that are in the increment again.
        sift(f"{increment} would spoil {config.path}", joined, read.rating_range, checks.max_quarantined)
        after = file_sha256(temporary)
        log.add(
            {
                "increment": str(increment),
                "sha256": sha256,
                "before": file_sha256(config.path),
                "after": after,
                "rows_before": len(before),
                **vars(drift),
            }
        )
        write_json(  # counts for a file of that SHA-256 alone, so not before it is there
            files.refresh,
            {
                "increment": str(increment),
                "after": after,
                "passed": True,
                **vars(drift),
                "expectations": [outcome.entry() for outcome in outcomes],
            },
        )
    return True


def user_file(dataset: Component) -> FileConfig:
    """The file that grows.

    Raises:
        ConfigError: The dataset is none, or a compressed one.
    """
    if dataset.name != "file":
        raise ConfigError(
            f"dataset.name is {dataset.name}, which does not grow; increments are for a file of your own: set "
            "dataset.name to file and dataset.config.path"
        )
    config = DATASETS["file"].configure("dataset.config", dataset.config)
    assert isinstance(config, FileConfig)
    if config.path.suffix == ".gz":
        raise ConfigError(f"{config.path} is compressed, so nothing can be appended; gunzip it, or keep it as Parquet")
    return config


class Increments:
    """What was appended to a file, oldest first, in ``<file>.increments.json``."""

    def __init__(self, path: Path) -> None:
        self.file, self.path = path, path.with_name(f"{path.name}.increments.json")
        self.entries: list[dict[str, Any]] = self._read() if self.path.is_file() else []

    def _read(self) -> list[dict[str, Any]]:
        try:
            entries: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:  # not to be deleted: what it names would be appended once more
            raise DataError(
                f"{self.path} is not JSON ({error}); restore it, for instance with git checkout -- {self.path}"
            ) from None
        return entries

    def add(self, entry: Mapping[str, Any]) -> None:
        """Remember one that is about to be appended."""
        self.entries.append(dict(entry))
        write_json(self.path, self.entries)

    def finished(self, sha256: str) -> bool:
        """Whether an increment is in the file; those that never arrived and those of later versions are forgotten."""
        befores = [entry["before"] for entry in self.entries]
        if (present := file_sha256(self.file)) in befores:
            del self.entries[befores.index(present) :]
        return any(entry["sha256"] == sha256 for entry in self.entries)


def new_users(files: Workspace) -> set[str]:
    """Users whose first row came with the latest increment; none where nothing was ever appended."""
    source = read_json(files.raw / "source.json")
    if source["dataset"] != "file":
        return set()
    entries = Increments(files.root / source["source"]).entries
    if not entries or entries[-1]["after"] != source["sha256"]:
        return set()
    users = read_table(files.raw / "ratings.parquet")[USER].astype(str)
    rows = int(entries[-1]["rows_before"])
    return set(users[rows:]) - set(users[:rows])


def _sha256(increment: Path) -> str:
    if not increment.is_file():
        raise DataError(f"{increment} does not exist; give the path of a file of new interactions")
    return file_sha256(increment)


def _at(config: FileConfig, path: Path) -> FileConfig:
    return config.model_copy(update={"path": path})


def _require_format(config: FileConfig, increment: Path) -> None:
    """The two are joined byte by byte, or as Parquet: each would be read alone, but not together."""
    theirs, ours = _format(_at(config, increment)), _format(config)
    if theirs != ours:
        raise DataError(f"{increment} is {theirs}, {config.path} is {ours} by its name; save the increment like that")


def _format(config: FileConfig) -> str:
    if config.path.suffix.lower() in PARQUET:
        return "Parquet"
    return f"{'gzipped ' if config.path.suffix == '.gz' else ''}text separated by {config.delimiter!r}"


def _refuse_header(config: FileConfig, before: pd.DataFrame, fresh: pd.DataFrame, increment: Path) -> None:
    """Where ``names`` are set a header would become a row: its ids are those names, or no numbers like the rest."""
    for column in (USER, ITEM):
        name, are_numbers = config.columns[column], pd.api.types.is_integer_dtype(before[column])
        for first in fresh[column].head(1).dropna().astype(str):
            if first == name or (are_numbers and not first.removeprefix("-").isdigit()):
                raise DataError(
                    f"{increment} begins with a header line ({name} is {first!r}), which {config.path} has not "
                    "(dataset.config.names); remove it, or set dataset.config.text_ids: true where it is a row"
                )


def _join(config: FileConfig, increment: Path, out: Path) -> None:
    path = config.path
    if path.suffix.lower() in PARQUET:
        old = pq.read_table(path)
        try:
            fresh = pq.read_table(increment).select(old.column_names).cast(old.schema)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise DataError(f"{increment} has other columns than {path}: {str(error).splitlines()[0]}") from None
        pq.write_table(pa.concat_tables([old, fresh]), out)
        return
    old_bytes, lines = path.read_bytes(), increment.read_bytes().removeprefix(codecs.BOM_UTF8)
    if config.names is None:
        header, _, _ = old_bytes.removeprefix(codecs.BOM_UTF8).partition(b"\n")
        first, _, rows = lines.partition(b"\n")
        if first.strip() != header.strip():
            raise DataError(
                f"{increment} begins with another header than {path}; give both the same columns in one order, or set "
                "dataset.config.names where neither has a header"
            )
        lines = rows
    out.write_bytes(old_bytes + (b"" if old_bytes.endswith(b"\n") or not old_bytes else b"\n") + lines)


def _require_rows(
    config: FileConfig, joined: Path, before: pd.DataFrame, fresh: pd.DataFrame, increment: Path
) -> pd.DataFrame:
    """What the dataset would read of both: as many rows as of each, with ids and numbers as they were."""
    spoilt = f"{increment} would spoil {config.path}"
    try:
        after = FileDataset(_at(config, joined)).load(joined.parent, RunOptions()).frame
    except DataError as error:
        reason = str(error).replace(str(joined), str(config.path))
        raise DataError(f"{spoilt}: {reason}") from None
    if len(after) != len(before) + len(fresh):
        raise DataError(
            f"{spoilt}: {len(after)} rows would be read of {len(before)} and "
            f"{len(fresh)}; save it with the same encoding, quotes and line ends"
        )
    for column in after if len(before) else ():
        was, would_be = str(before[column].dtype), str(after[column].dtype)
        if was.lower() != would_be.lower():  # Int64 is int64 with room for a missing value
            raise DataError(
                f"{spoilt}: {config.columns[column]} would be {would_be} instead of {was}; "
                "correct it, or set dataset.config.text_ids: true where ids are text"
            )
    return after
