"""Published datasets that a person puts into a folder: found, read, and checked to be the published ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dconrec_core.data.raw import as_ids, as_numbers, require_columns
from dconrec_core.errors import DataError
from dconrec_core.registry import Config

INPUT = Path("data/input")


class FolderConfig(Config):
    """Where the files of a dataset are."""

    folder: Path = INPUT
    """Relative to the project's root, or absolute."""


def need_file(folder: Path, name: str, way_out: str) -> Path:
    """A file of ``folder``.

    Raises:
        DataError: It is not there; ``way_out`` says where to get it.
    """
    if not (folder / name).is_file():
        raise DataError(f"{folder / name} does not exist; {way_out}, or name its folder in dataset.config.folder")
    return folder / name


def read_whole(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a Parquet file in which every value is a whole number, as int64.

    Args:
        path: Where it is.
        columns: Which ones.

    Raises:
        DataError: It is not Parquet, lacks a column, or holds something else.
    """
    try:
        require_columns(str(path), pq.read_schema(path).names, columns)
        frame: pd.DataFrame = pq.read_table(path, columns=list(columns)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from None
    for name in frame:
        numbers = as_numbers(as_ids(frame[name]))
        if numbers.dtype != "float64" or not (numbers % 1 == 0).all():
            raise DataError(f"{path}: {name} must hold whole numbers in every row; it is not the published file")
        frame[name] = numbers.astype("int64")
    return frame


def require_content(where: str, frame: pd.DataFrame, sha256: str) -> None:
    """Make sure that a table holds what was published, its rows in any order.

    Args:
        where: What to call it in the message.
        frame: Columns of whole numbers.
        sha256: See ``content_sha256``.

    Raises:
        DataError: It does not.
    """
    if (found := content_sha256(frame)) != sha256:
        raise DataError(
            f"{where} holds other rows than the published dataset ({len(frame)} rows, content {found}, not {sha256}); "
            "for data of your own use dataset.name: file"
        )


def content_sha256(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's rows, sorted, as little-endian int32: the same for every file with the same rows.

    A table with a number that int32 does not hold, as no published one has, is hashed as int64.
    """
    rows = frame.to_numpy(dtype="<i8")
    if (rows == rows.astype("<i4")).all():
        rows = rows.astype("<i4")
    ordered = rows[np.lexsort(rows.T[::-1])]
    return hashlib.sha256(np.ascontiguousarray(ordered).tobytes()).hexdigest()


def require_rows(where: str, frame: pd.DataFrame, n_rows: int) -> None:
    """Make sure that a table has as many rows as were published: what its publisher says where no hash is known.

    Raises:
        DataError: It has not.
    """
    if len(frame) != n_rows:
        raise DataError(
            f"{where} holds {len(frame)} rows, the published dataset {n_rows}; get it again, or for data of your own "
            "use dataset.name: file"
        )


def rows_sha256(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's columns of numbers, its rows in the order they are in."""
    digest = hashlib.sha256()
    for name in frame:
        digest.update(np.ascontiguousarray(frame[name].to_numpy(), dtype="<f8").tobytes())
    return digest.hexdigest()
