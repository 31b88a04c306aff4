"""The data that benchmarks run on, as splits in files that both environments can read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dconrec_core.atomic import atomic_file
from dconrec_core.data import DATASETS, Loader
from dconrec_core.data.prepare import prepare
from dconrec_core.data.synthetic import SyntheticConfig, plant
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.registry import Entry
from dconrec_core.rng import numpy_rng
from dconrec_core.splitting import random_split
from dconrec_core.types import Interactions, Split

THRESHOLD = 3.0
PARTS = ("train", "valid", "test")
CACHE = Path("data/cache")


def load_split(name: str, data: Path, seed: int) -> Split:
    """A dataset under one seed.

    Args:
        name: Name in ``LOADERS``.
        data: Folder of the files that cannot be downloaded.
        seed: Of the split.

    Raises:
        DataError: A file is missing.
    """
    return LOADERS[name](data, seed)


def write_npz(path: Path, split: Split) -> None:
    """``train``, ``valid`` and ``test`` as int32 ``[2, n]``, and ``shape``: users and items of the catalogue."""
    parts = {part: getattr(split, part) for part in PARTS}
    arrays = {part: np.stack((pairs.users, pairs.items)) for part, pairs in parts.items()}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, shape=np.array([split.train.n_users, split.train.n_items]), **arrays)


def read_npz(path: str | Path) -> Split:
    """The inverse of ``write_npz``."""
    with np.load(path) as arrays:
        n_users, n_items = arrays["shape"].tolist()
        return Split(*(Interactions(*arrays[part], n_users, n_items) for part in PARTS))


def shaped_like_ml_20m(n_interactions: int) -> Interactions:
    """ML-20M's users and items, and as many interactions as asked for."""
    return _planted(SyntheticConfig(n_users=138_493, n_items=26_744, n_interactions=n_interactions, n_clusters=50))


def downloaded(entry: Entry[Loader], cache: Path, threshold: float | None) -> Interactions:
    """The interactions of a registered dataset with its default settings."""
    raw = entry.build(entry.config_class()).load(cache, RunOptions())
    return prepare(raw.frame, raw.items, threshold=threshold).interactions


def _ml_100k(_: Path, seed: int) -> Split:
    return random_split(downloaded(DATASETS["ml-100k"], CACHE, THRESHOLD), 0.1, 0.1, seed)


def _ml_1m(data: Path, seed: int) -> Split:
    return random_split(prepare(_read(data / "ml-1m.parquet"), threshold=THRESHOLD).interactions, 0.1, 0.1, seed)


def _gowalla(data: Path, seed: int) -> Split:
    """Its own train and test; valid is a tenth of each user's training interactions, rounded down."""
    known, test = (_read(data / f"gowalla-{part}.parquet") for part in ("train", "test"))
    both = pd.concat((known, test))
    size = int(both["user_id"].max()) + 1, int(both["item_id"].max()) + 1
    train, hidden = (Interactions.of(part["user_id"], part["item_id"], *size) for part in (known, test))
    order = np.lexsort((numpy_rng(seed, "split").random(len(train)), train.users))
    place = np.empty(len(train), dtype=np.int64)
    place[order] = np.arange(len(train)) - train.indptr[train.users]
    is_valid: npt.NDArray[np.bool_] = place < (train.user_degree // 10)[train.users]
    return Split(train.take(~is_valid), train.take(is_valid), hidden)


def _items_10k(_: Path, seed: int) -> Split:
    """10,000 items, for what grows with their square or cube; nothing to find."""
    train = _planted(SyntheticConfig(n_users=20_000, n_items=10_000, n_interactions=1_000_000, seed=seed))
    return Split(train, train.take(np.array([], dtype=int)), train.take(np.array([], dtype=int)))


def _tiny(_: Path, seed: int) -> Split:
    """Seconds of everything, for tests."""
    config = SyntheticConfig(n_users=120, n_items=90, n_interactions=3_000)
    return random_split(_planted(config), 0.1, 0.1, seed)


def _planted(config: SyntheticConfig) -> Interactions:
    planted = plant(config)
    return Interactions.of(planted.users, planted.items, config.n_users, config.n_items)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} is missing; put it there or name its folder with --data")
    return pd.read_parquet(path)


LOADERS: dict[str, Callable[[Path, int], Split]] = {
    "ml-100k": _ml_100k,
    "ml-1m": _ml_1m,
    "gowalla": _gowalla,
    "10k-items": _items_10k,
    "tiny": _tiny,
}
"""Name in a benchmark to the split under a folder and a seed."""
