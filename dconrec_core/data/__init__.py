"""Datasets by name: the one place where a source is registered."""

from dconrec_core.data.ciao import Ciao
from dconrec_core.data.dianping import Dianping
from dconrec_core.data.file import FileConfig, FileDataset
from dconrec_core.data.gowalla import Gowalla
from dconrec_core.data.local import FolderConfig
from dconrec_core.data.movielens import MovieLens1M, MovieLens100K, MovieLensConfig
from dconrec_core.data.movielens_20m import MovieLens20M
from dconrec_core.data.raw import Loader, RawTable
from dconrec_core.data.synthetic import SyntheticConfig, SyntheticDataset
from dconrec_core.registry import Entry

DATASETS: dict[str, Entry[Loader]] = {
    "ml-100k": Entry(MovieLensConfig, MovieLens100K),
    "ml-1m": Entry(FolderConfig, MovieLens1M),
    "ml-20m": Entry(FolderConfig, MovieLens20M),
    "gowalla": Entry(FolderConfig, Gowalla),
    "ciao": Entry(FolderConfig, Ciao),
    "dianping": Entry(FolderConfig, Dianping),
    "file": Entry(FileConfig, FileDataset),
    "synthetic": Entry(SyntheticConfig, SyntheticDataset),
}
"""Name in ``params.yaml`` to config class and loader."""

__all__ = ["DATASETS", "Loader", "RawTable"]
