"""The ingest stage: whatever the source is, afterwards it is Parquet with our column names, unjudged."""

from pathlib import Path

from dconrec_core.atomic import atomic_folder, write_json
from dconrec_core.data import DATASETS
from dconrec_core.data.io import write_table
from dconrec_core.data.raw import RawTable
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from tasks.params import Component
from tasks.reading import readable


def ingest(params: Component, out: Path, cache: Path, options: RunOptions) -> None:
    """Fetch or read a dataset; write ``ratings.parquet``, ``source.json`` and, where it has titles, ``items.parquet``.

    Args:
        params: Name in ``DATASETS``, and its settings.
        out: Folder to write.
        cache: Folder of downloads.
        options: Whom to tell of the download's progress.

    Raises:
        ConfigError: No such dataset, or it has no such setting.
        DataError: It cannot be had or read.
    """
    table = load(params, cache, options)
    with atomic_folder(out) as folder:
        if table.frame.empty:
            raise DataError(f"{table.source} has columns and no rows; bring a file that has some")
        write_table(folder / "ratings.parquet", table.frame)
        if table.items is not None:
            write_table(folder / "items.parquet", table.items)
        source = {
            "dataset": params.name,
            "source": table.source,
            "sha256": table.sha256,
            "n_rows": len(table.frame),
            "columns": {str(name): str(dtype) for name, dtype in table.frame.dtypes.items()},
            "rating_range": list(table.rating_range) if table.rating_range else None,
            "titles": table.items is not None,
        }
        write_json(folder / "source.json", source)


def load(params: Component, cache: Path, options: RunOptions) -> RawTable:
    """A dataset as its source has it; arguments and errors are those of ``ingest``."""
    entry = lookup(DATASETS, params.name, "dataset.name")
    loader = entry.build(entry.configure("dataset.config", params.config))
    with readable(f"dataset {params.name!r}", "its files are damaged, or not the published ones: get them again"):
        return loader.load(cache, options)
