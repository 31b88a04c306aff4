"""Anyone's own ratings: a CSV, TSV or Parquet file whose columns the configuration names."""

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from pydantic import Field, field_validator, model_validator

from dconrec_core.data.download import file_sha256
from dconrec_core.data.raw import (
    ITEM,
    PART,
    RATING,
    TIMESTAMP,
    TITLE,
    USER,
    RawTable,
    as_ids,
    as_numbers,
    require_columns,
)
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.registry import Config

PARQUET = {".parquet", ".pq"}
TABBED = {".tsv", ".tab", ".inter", ".item"}
SEPARATORS = ("::", "\t", ";", "|", ",", " ")
QUOTED = {",", ";"}
"""What spreadsheets export with quotes about a field that holds one; in all other text a quote is a character."""
MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
WHOLE = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
"""Where one is missing, pandas would make them float64, in which large ids run into one another."""
CHUNK = 1 << 24
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class TableConfig(Config):
    """A table in a file."""

    path: Path
    """Relative to the project's root, or absolute; ``.parquet``, or text, which may be gzipped."""
    separator: str | None = None
    """Between two fields of a line; when not given a comma, or a tab for ``.tsv``. Long ones (``::``) are slow.
    Only between commas or semicolons does a field in double quotes lose them and may hold the separator."""
    encoding: str = "utf-8"
    """Of a text file; ``latin-1`` reads anything."""
    names: list[str] | None = None
    """Names of the columns of a text file that has no header line."""

    @property
    def delimiter(self) -> str:
        """Between two fields of a line: as set, else by the suffix."""
        suffix = Path(self.path.stem).suffix if self.path.suffix == ".gz" else self.path.suffix
        return self.separator or ("\t" if suffix.lower() in TABBED else ",")

    @field_validator("separator")
    @classmethod
    def _tab(cls, value: str | None) -> str | None:
        return "\t" if value in ("tab", "\\t") else value

    @field_validator("separator", "names")
    @classmethod
    def _not_empty(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None and not value:
            raise ValueError("leave it out, or give at least one")
        return value


class TitlesConfig(TableConfig):
    """Where the items' titles are."""

    item: str = "item_id"
    """Column of the item's id."""
    title: str = "title"
    """Column of its title."""


class FileConfig(TableConfig):
    """A file of ratings, or of anything a user did with an item."""

    user: str = "user_id"
    """Column of the user's id."""
    item: str = "item_id"
    """Column of the item's id."""
    rating: str | None = None
    """Column of the rating; none where every row is a positive interaction."""
    timestamp: str | None = None
    """Column of the time."""
    timestamp_unit: Literal["s", "ms", "us", "ns", "iso"] = "s"
    """Of a number since 1970, or ``iso`` for text such as ``2024-05-01 12:30``."""
    rating_range: tuple[float, float] | None = None
    """Smallest and largest rating there can be; rows outside are set aside."""
    text_ids: bool = False
    """Keep ids as text even where all are whole numbers, for instance where negative ones are meant."""
    part: str | None = None
    """Column that says train, valid or test, for ``split.strategy: given``."""
    title: str | None = None
    """Column of the item's title, where the file itself has it."""
    titles: TitlesConfig | None = Field(None)
    """A file of titles of its own."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        named: dict[str, str] = {}
        for key in ("user", "item", "rating", "timestamp", "part"):
            column = getattr(self, key)
            if not column:
                continue
            if column in named:
                raise ValueError(f"{named[column]} and {key} both name {column!r}; each must name a column of its own")
            named[column] = key
        if self.title is not None and self.titles is not None:
            raise ValueError("give title (a column of this file) or titles (a file), not both")
        if self.rating_range is not None and not self.rating_range[0] <= self.rating_range[1]:
            raise ValueError(f"rating_range {list(self.rating_range)} must rise")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Our name of each column that is configured, and the file's name of it."""
        ours = {USER: self.user, ITEM: self.item, RATING: self.rating, TIMESTAMP: self.timestamp, PART: self.part}
        return {name: column for name, column in ours.items() if column is not None}


@dataclass(frozen=True)
class FileDataset:
    """A file that is there already."""

    config: FileConfig

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read the columns that are configured; what the values are worth is for the checks to say.

        Raises:
            DataError: The file is missing, unreadable or empty, or lacks a column.
        """
        config = self.config
        columns = config.columns
        table = read_columns(config, [*columns.values(), *([config.title] if config.title else [])])
        frame = pd.DataFrame({name: table[column] for name, column in columns.items()})
        for name in (USER, ITEM):
            frame[name] = as_ids(frame[name], text=config.text_ids)
        if RATING in frame:
            frame[RATING] = as_numbers(frame[RATING])
        if TIMESTAMP in frame:
            try:
                frame[TIMESTAMP] = as_seconds(frame[TIMESTAMP], config.timestamp_unit)
            except DataError as error:
                raise DataError(f"{config.path}: {config.timestamp!r} {error}") from None
        if PART in frame:
            frame[PART] = frame[PART].astype("str")
        items = self._items(frame, table)
        return RawTable(frame, items, config.rating_range, str(config.path), file_sha256(config.path))

    def _items(self, frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame | None:
        if self.config.title is not None:
            ids, titles = frame[ITEM], table[self.config.title]
        elif (where := self.config.titles) is not None:
            found = read_columns(where, [where.item, where.title])
            ids, titles = as_ids(found[where.item], text=frame[ITEM].dtype == "str"), found[where.title]
            if ids.dtype != frame[ITEM].dtype:  # a missing id, or a title of something else, by an id that is no number
                known = ids.astype("str").isin(frame[ITEM].astype("str"))
                ids, titles = ids[known].astype(frame[ITEM].dtype), titles[known]
        else:
            return None
        items = pd.DataFrame({ITEM: ids, TITLE: titles.astype("str")}).dropna().drop_duplicates(ITEM, ignore_index=True)
        if len(frame) and not items[ITEM].isin(frame[ITEM]).any():
            holder = (self.config.titles or self.config).path
            raise DataError(f"{holder} has a title for no item of {self.config.path}; see dataset.config.titles.item")
        return items


def as_seconds(values: pd.Series, unit: str) -> pd.Series:
    """Whole seconds since 1970; values that are no times are left for a check to name.

    Raises:
        DataError: ``unit`` is ``iso`` and what is no such text are plain numbers, whose unit nobody has told.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _since_1970(values)
    if unit != "iso":
        numbers = as_numbers(values)
        if numbers.dtype != "float64" or not (numbers.isna() | numbers.abs().lt(2.0**63)).all():
            return numbers
        return _whole(numbers / PER_SECOND[unit])
    times = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    wrong = times.isna() & values.notna()
    if not wrong.any():
        return _since_1970(times)
    numbers = pd.to_numeric(values[wrong], errors="coerce").dropna()
    if len(numbers) == wrong.sum():  # no word among them: all in one unit, which nobody has told
        raise DataError(
            f"holds numbers such as {values[numbers.index[0]]}, and dataset.config.timestamp_unit is iso; "
            "set it to s, ms, us or ns"
        )
    return _since_1970(times).astype("str").where(~wrong, values)


def _since_1970(times: pd.Series) -> pd.Series:
    return _whole(times.astype("int64").where(times.notna()) / PER_SECOND[times.dt.unit])


def _whole(seconds: pd.Series) -> pd.Series:
    whole = seconds.floordiv(1).astype("Float64").astype("Int64")
    return whole if whole.isna().any() else whole.astype("int64")


def read_columns(config: TableConfig, wanted: Sequence[str]) -> pd.DataFrame:
    """The ``wanted`` columns of a file: typed from Parquet, text from everything else.

    Raises:
        DataError: The file is missing, unreadable or empty, or lacks a column.
    """
    path = config.path
    if not path.is_file():
        raise DataError(_not_there(path))
    wanted = list(dict.fromkeys(wanted))
    try:
        if path.suffix.lower() in PARQUET:
            _require(path, pq.read_schema(path).names, wanted)
            return _frame(pq.read_table(path, columns=wanted))
        return _read_text(config, wanted)
    except (pa.ArrowException, pd.errors.ParserWarning, ValueError, LookupError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path} cannot be read: {_way_out(error)}") from None


def _read_text(config: TableConfig, wanted: list[str]) -> pd.DataFrame:
    """Every field as text, so that ``007`` stays what it is and a word among numbers can be named later."""
    path, separator = config.path, config.delimiter
    columns = config.names or _header(config, separator, wanted)
    _require(path, columns, wanted)
    if separator in QUOTED:
        _require_closed_quotes(config, separator)
    if len(separator.encode()) > 1:  # slow, but the only reader of such files
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a field too many would only be dropped
            frame = pd.read_csv(
                path, sep=re.escape(separator), engine="python", header=None, names=columns, index_col=False,
                dtype="str", skiprows=0 if config.names else 1, encoding=config.encoding, na_values=MISSING,
                keep_default_na=False, quoting=csv.QUOTE_NONE,
            )  # fmt: skip
        return frame[wanted]
    parsing = pc.ParseOptions(delimiter=separator, quote_char='"' if separator in QUOTED else False)
    converting = pc.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(wanted, pa.string()),
        null_values=MISSING,
        strings_can_be_null=True,
    )

    def read(use_threads: bool) -> pa.Table:
        skipped = 0 if config.names else 1
        reading = pc.ReadOptions(
            encoding=config.encoding, column_names=columns, skip_rows=skipped, use_threads=use_threads
        )
        return pc.read_csv(path, reading, parsing, converting)

    try:
        return _frame(read(use_threads=True))
    except pa.ArrowInvalid:
        return _frame(read(use_threads=False))  # slower, but this reader knows the number of the line that is wrong


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=WHOLE.get)
    return frame


def _header(config: TableConfig, separator: str, wanted: list[str]) -> list[str]:
    with pa.input_stream(config.path, compression="detect") as stream:
        line = io.TextIOWrapper(stream, config.encoding).readline().strip("\r\n").removeprefix("\ufeff")
    if not line.strip():
        raise DataError(f"{config.path} is empty; it needs a header line, or dataset.config.names, and rows")
    columns = _fields(line, separator)
    for other in SEPARATORS:
        if not set(wanted) <= set(columns) and set(wanted) <= set(_fields(line, other)):
            raise DataError(f"{config.path} is separated by {other!r}, not {separator!r}; set dataset.config.separator")
    return columns


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if separator in QUOTED else line.split(separator)


def _require_closed_quotes(config: TableConfig, separator: str) -> None:
    """A quote that nobody closes would swallow the rows behind it, up to the next quote, without a word."""
    with pa.input_stream(config.path, compression="detect") as stream:  # most files have none, and lines take long
        if not any(b'"' in chunk for chunk in iter(lambda: stream.read(CHUNK), b"")):
            return
    between = re.escape(separator)
    field = rf'(?:"(?:[^"]|"")*+"[^{between}]*|[^"{between}][^{between}]*)?'
    closed = re.compile(rf"{field}(?:{between}{field})*")
    with pa.input_stream(config.path, compression="detect") as stream:
        for number, line in enumerate(io.TextIOWrapper(stream, config.encoding, errors="replace"), 1):
            text = line.removesuffix("\n").removeprefix("\ufeff")
            if '"' in text and not closed.fullmatch(text):
                raise DataError(
                    f"{config.path} line {number}: a double quote opens a field that does not end on this line "
                    f"({text[:60]!r}); close it, double a quote that belongs to a quoted field, and write each row on "
                    "one line, or save the table with tabs, where quotes mean nothing"
                )


def _require(path: Path, columns: list[str], wanted: list[str]) -> None:
    require_columns(str(path), columns, wanted)
    for name in wanted:
        if columns.count(name) > 1:
            raise DataError(f"{path} has {columns.count(name)} columns called {name!r}; rename all but one")


def _not_there(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; dataset.config.path must be a file"
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    hint = f"did you mean {path.with_name(near[0])}? " if near else ""
    return f"{path} does not exist; {hint}set dataset.config.path, which counts from the project's root"


def _way_out(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, UnicodeError) or "UTF8" in text:
        return "it is not text in the encoding set; set dataset.config.encoding, for instance latin-1"
    if isinstance(error, LookupError):
        return f"{text}; set dataset.config.encoding to one that exists, for instance utf-8 or latin-1"
    if "inflate failed" in text or "stream" in text:
        return f"{text[:160]}; it is no whole gzip file: copy it again, or drop .gz from the name of plain text"
    if "magic bytes" in text or "Parquet file size" in text:
        return "it is not Parquet, or not all of it: copy it again, or give a text file an ending such as .csv"
    if isinstance(error, pd.errors.ParserWarning):
        return "its lines have more fields than there are names; give dataset.config.names one for every field"
    if "columns, got" in text or "fields in line" in text:
        return (
            f"{text[:160]}; its lines have different numbers of fields: check dataset.config.separator and that line, "
            "and quote a field that holds a separator"
        )
    return text[:200]
