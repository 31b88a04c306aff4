"""The data that benchmarks run on, as splits in files that both environments can read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dconrec_core.atomic import atomic_file
from dconrec_core.data import DATASETS
from dconrec_core.data.prepare import Prepared, prepare
from dconrec_core.data.synthetic import SyntheticConfig, plant
from dconrec_core.options import RunOptions
from dconrec_core.splitting import given_split, random_split
from dconrec_core.types import PARTS, Interactions, Split

THRESHOLD = 3.0
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


def interactions(name: str, data: Path, threshold: float | None) -> Interactions:
    """The interactions of a registered dataset with its default settings, its files in ``data`` where it has any."""
    return prepared(name, data, threshold).interactions


def prepared(name: str, data: Path, threshold: float | None) -> Prepared:
    """The same, with times and ids."""
    entry = DATASETS[name]
    folder = {"folder": data} if "folder" in entry.config_class.model_fields else {}
    raw = entry.build(entry.configure("data", folder)).load(CACHE, RunOptions())
    return prepare(raw.frame, raw.items, threshold=threshold)


def _rated(name: str) -> Callable[[Path, int], Split]:
    return lambda data, seed: random_split(interactions(name, data, THRESHOLD), 0.1, 0.1, seed)


def _gowalla(data: Path, seed: int) -> Split:
    """Its own train and test; valid is a tenth of each user's training interactions."""
    source = prepared("gowalla", data, None)
    assert source.parts is not None
    return given_split(source.interactions, source.parts, 0.1, seed)


def _ciao(data: Path, seed: int) -> Split:
    """Every row an interaction."""
    return random_split(interactions("ciao", data, None), 0.1, 0.1, seed)


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


LOADERS: dict[str, Callable[[Path, int], Split]] = {
    "ml-100k": _rated("ml-100k"),
    "ml-1m": _rated("ml-1m"),
    "gowalla": _gowalla,
    "ciao": _ciao,
    "10k-items": _items_10k,
    "tiny": _tiny,
}
"""Name in a benchmark to the split under a folder and a seed."""
