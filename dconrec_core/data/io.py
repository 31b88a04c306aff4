"""Interactions, splits and candidate pools as Parquet: dense ids in int32 columns, the catalogue size in the schema."""

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dconrec_core.atomic import atomic_file
from dconrec_core.errors import DataError
from dconrec_core.types import CandidatePool, Interactions, Split, int32_ids

Part = Literal["train", "valid", "test"]
POOL_FILE = "pool.parquet"


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame without its index; the same frame gives the same bytes."""
    with atomic_file(path) as temporary:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        DataError: The file is missing or is not Parquet.
    """
    frame: pd.DataFrame = _read(path).to_pandas()
    return frame


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path} does not exist; run the stage that writes it (dvc repro, or make demo)")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error


def write_interactions(path: Path, interactions: Interactions, **columns: npt.NDArray[np.generic]) -> None:
    """Write pairs, with further per-interaction ``columns`` ``[nnz]`` beside them."""
    arrays = {"user": interactions.users, "item": interactions.items, **columns}
    size = {"n_users": str(interactions.n_users), "n_items": str(interactions.n_items)}
    table = pa.table({name: pa.array(values) for name, values in arrays.items()}).replace_schema_metadata(size)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_interactions(path: Path) -> Interactions:
    """Read what ``write_interactions`` wrote.

    Raises:
        DataError: Missing or unreadable file, a missing column or catalogue size, or impossible pairs.
    """
    return _interactions(path, _read(path))


def _interactions(path: Path, table: pa.Table, *others: str) -> Interactions:
    missing = {"user", "item", *others} - set(table.column_names)
    if missing:
        raise DataError(f"{path} has no column {sorted(missing)[0]!r}; its columns are {', '.join(table.column_names)}")
    metadata = table.schema.metadata or {}
    if not all(metadata.get(size, b"").isdigit() for size in (b"n_users", b"n_items")):
        raise DataError(f"{path} does not say its catalogue size; write it with write_interactions")
    try:
        users, items = (int32_ids(name, table[name].to_numpy()) for name in ("user", "item"))
        return Interactions(users, items, int(metadata[b"n_users"]), int(metadata[b"n_items"]))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_part(folder: Path, part: Part) -> Interactions:
    """One part of a split folder; a stage that must not see test reads the other two by name."""
    return read_interactions(folder / f"{part}.parquet")


def write_split(folder: Path, split: Split) -> None:
    """Write ``train.parquet``, ``valid.parquet`` and ``test.parquet`` into ``folder``."""
    for part in ("train", "valid", "test"):
        write_interactions(folder / f"{part}.parquet", getattr(split, part))


def read_split(folder: Path) -> Split:
    """Read the three parts; for evaluation only."""
    return Split(read_part(folder, "train"), read_part(folder, "valid"), read_part(folder, "test"))


def write_pool(folder: Path, pool: CandidatePool) -> None:
    """Write ``pool.parquet`` with columns user, item, observed, score."""
    write_interactions(folder / POOL_FILE, pool.interactions, observed=pool.observed, score=pool.score)


def read_pool(folder: Path) -> CandidatePool:
    """Read what ``write_pool`` wrote."""
    path = folder / POOL_FILE
    table = _read(path)
    interactions = _interactions(path, table, "observed", "score")
    return CandidatePool(interactions, table["observed"].to_numpy(), table["score"].to_numpy().astype(np.float32))
