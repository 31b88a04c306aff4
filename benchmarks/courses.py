"""The courses of RecBole's trainings: every epoch's loss and validation NDCG@10, once, in ``results/peers/NAME.json``.

They take RecBole minutes to hours and are the same for a seed, so they are kept; ``benchmarks.speed`` times single
epochs afresh. A training that was cut off goes on, so this may be stopped and started at will:

    python -m benchmarks.courses --only 'lightgcn-large-gowalla-*'
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.datasets import load_split, write_npz
from benchmarks.processes import ROOT, THREADS
from benchmarks.results import FOLDER, Row
from dconrec_core.errors import DataError, DConRecError

COURSES = FOLDER / "peers"
SEEDS = (0, 1, 2)
PATIENCE = 10
DEFAULT_BATCH, LARGE_BATCH = 2048, 65536


@dataclass(frozen=True)
class PeerModel:
    """A RecBole model, and how it is searched.

    Args:
        name: RecBole's.
        settings: What stays fixed.
        learning_rates: Tried on valid, the likeliest first.
        batches: Triplets a step on each dataset it is trained on.
        label: What its courses' names begin with.
    """

    name: str
    settings: dict[str, Any]
    learning_rates: tuple[float, ...]
    batches: dict[str, int]
    label: str


THREE_LAYERS = {"n_layers": 3, "reg_weight": 1e-4}
PEERS = {
    "bprmf": PeerModel("BPR", {}, (0.001, 0.003), {"ml-100k": DEFAULT_BATCH, "ml-1m": DEFAULT_BATCH}, "bpr"),
    "lightgcn": PeerModel(
        "LightGCN", THREE_LAYERS, (0.005, 0.002), {"ml-100k": DEFAULT_BATCH, "ml-1m": 8192}, "lightgcn"
    ),
    "lightgcn-large": PeerModel(
        "LightGCN", THREE_LAYERS, (0.02, 0.01), {"ml-1m": LARGE_BATCH, "gowalla": LARGE_BATCH}, "lightgcn-large"
    ),
    "ngcf": PeerModel("NGCF", {}, (0.002, 0.005), {"ml-100k": DEFAULT_BATCH, "ml-1m": 8192}, "ngcf"),
    "ngcf-no-dropout": PeerModel("NGCF", {"message_dropout": 0.0}, (0.002,), {"ml-1m": 8192}, "ngcf-no-dropout"),
}
"""What each peer's courses are. RecBole's default batch is an eightieth of an epoch on ml-100k. A step propagates over
the whole graph, so ml-1m gets fewer of them; the large batch, a twelfth of its epoch, is what our LightGCN takes, and
on gowalla the only one that ends within hours. Our NGCF learns ML-1M better without dropout, and so does RecBole's."""


@dataclass(frozen=True)
class Course:
    """One training of RecBole's.

    Args:
        model: Key in ``PEERS``.
        dataset: Name in ``benchmarks.datasets``.
        seed: Of split and training.
        learning_rate: One of the model's.
    """

    model: str
    dataset: str
    seed: int
    learning_rate: float

    @property
    def name(self) -> str:
        """The file's, as ``lightgcn-ml-1m-0-lr.005``."""
        rate = f"{self.learning_rate:g}".removeprefix("0")
        return f"{PEERS[self.model].label}-{self.dataset}-{self.seed}-lr{rate}"

    @property
    def settings(self) -> dict[str, Any]:
        """RecBole's settings."""
        peer = PEERS[self.model]
        batch = peer.batches.get(self.dataset, DEFAULT_BATCH)
        return {**peer.settings, "train_batch_size": batch, "learning_rate": self.learning_rate}

    def read(self, folder: Path) -> Row | None:
        """What happened; None where it was not trained, or not to its end."""
        path = folder / f"{self.name}.json"
        content: Row = json.loads(path.read_text()) if path.exists() else {}
        return content if "ndcg@10" in content else None


def courses(model: str, dataset: str, seed: int) -> list[Course]:
    """The search: one course a learning rate."""
    return [Course(model, dataset, seed, rate) for rate in PEERS[model].learning_rates]


def finished(model: str, dataset: str, seed: int, folder: Path = COURSES) -> list[tuple[Course, Row]]:
    """The courses that are there, the best on valid first."""
    read = [(course, course.read(folder)) for course in courses(model, dataset, seed)]
    there = [(course, content) for course, content in read if content is not None]
    return sorted(there, key=lambda pair: -pair[1]["valid_ndcg@10"])


def peers_python() -> Path:
    """The interpreter of the peers' environment.

    Raises:
        DataError: There is none.
    """
    python = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
    if not python.exists():
        raise DataError(f"no peers' environment at {python}; `make peers` makes it, PEERS_PYTHON names another")
    return python


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, the first learning rate and seed of every model first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.courses", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="names, as lightgcn-ml-1m-*")
    parser.add_argument("--data", type=Path, default=Path("data/input"), help="folder of the datasets' files")
    parser.add_argument("--out", type=Path, default=COURSES)
    options = parser.parse_args(arguments)
    python = peers_python()
    for course in _in_order():
        if fnmatch(course.name, options.only) and course.read(options.out) is None:
            print(course.name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                split = Path(folder, "split.npz")
                write_npz(split, load_split(course.dataset, options.data, course.seed))
                _train(python, course, split, options.out / f"{course.name}.json")


def _in_order() -> Iterator[Course]:
    for place in range(max(len(peer.learning_rates) for peer in PEERS.values())):
        for seed in SEEDS:
            for model, peer in PEERS.items():
                for dataset in peer.batches:
                    yield from courses(model, dataset, seed)[place : place + 1]


def _train(python: Path, course: Course, split: Path, out: Path) -> None:
    settings, seed = json.dumps(course.settings), str(course.seed)
    command = [
        str(python), "-W", "ignore", "-m", "benchmarks.peers.recbole_train", PEERS[course.model].name, str(split),
        str(out.resolve()), "--settings", settings, "--seed", seed, "--patience", str(PATIENCE),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env={**os.environ, **dict.fromkeys(THREADS, "1")}, check=True)


if __name__ == "__main__":
    try:
        main()
    except (DConRecError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
