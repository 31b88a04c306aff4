"""Train a RecBole model on a ready-made split, epoch by epoch, and keep its whole course as JSON.

Runs in the peers' environment (``benchmarks/peers.txt``), which of ``dconrec_core`` can import what needs nothing but
Python. Finished epochs are on disk at once; a training that was cut off goes on from its last checkpoint.

    python -m benchmarks.peers.recbole_train LightGCN split.npz out.json --settings '{"learning_rate": 0.005}'
"""

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.utils import get_model, get_trainer, init_seed

from dconrec_core.atomic import atomic_file, write_json
from tests.reference._recbole import PARTS, forget_propagated, prepare

FIXED = {"embedding_size": 64, "eval_batch_size": 2**24}  # many users a block: the fastest for RecBole


def open_training(model: str, split: Path, settings: dict[str, Any], seed: int, folder: Path) -> tuple[Any, Any, Any]:
    """RecBole's trainer, model and data loaders of a split (``train``, ``valid``, ``test``: int ``[2, n]``)."""
    with np.load(split) as arrays:
        pairs = {part: list(zip(*arrays[part].tolist(), strict=True)) for part in PARTS}
    init_seed(seed, reproducibility=True)
    config, _, loaders = prepare(folder, model, pairs, {**FIXED, **settings, "seed": seed})
    network = get_model(model)(config, loaders["train"].dataset).to("cpu")
    return get_trainer(config["MODEL_TYPE"], config["model"])(config, network), network, loaders


def train(trainer: Any, network: Any, loaders: Any, epochs: int, patience: int, every: int, out: Path) -> None:
    """Train until valid has not improved for ``patience`` epochs; test the best epoch's weights."""
    course = json.loads(out.read_text()) if out.exists() else {"epochs": []}
    if "ndcg@10" in course:
        return
    checkpoint = out.with_suffix(".pt")
    rows, best = course["epochs"], None
    if checkpoint.exists() and rows:
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["now"])
        trainer.optimizer.load_state_dict(kept["optimizer"])
        best, rows[:] = kept["best"], rows[: kept["epoch"]]
    else:
        rows.clear()
    for epoch in range(len(rows), epochs):
        started = time.perf_counter()
        loss = trainer._train_epoch(loaders["train"], epoch, show_progress=False)
        row = {"epoch": epoch + 1, "loss": float(loss), "train_seconds": round(time.perf_counter() - started, 3)}
        if (epoch + 1) % every == 0:
            started = time.perf_counter()
            _, measured = trainer._valid_epoch(loaders["valid"])
            row |= {
                "valid_seconds": round(time.perf_counter() - started, 3),
                "valid_ndcg@10": float(measured["ndcg@10"]),
            }
        rows.append(row)
        looks = [r for r in rows if "valid_ndcg@10" in r]
        top = max(looks, key=lambda r: r["valid_ndcg@10"], default=None)
        if top is row:
            best = {name: value.clone() for name, value in network.state_dict().items()}
        if "valid_ndcg@10" in row:
            state = {
                "now": network.state_dict(), "best": best, "optimizer": trainer.optimizer.state_dict(),
                "epoch": epoch + 1,
            }  # fmt: skip
            with atomic_file(checkpoint) as temporary:
                torch.save(state, temporary)
            write_json(out, course)
        if top is not None and epoch + 1 - top["epoch"] >= patience:
            break
    network.load_state_dict(best)
    forget_propagated(network)
    top = max((r for r in rows if "valid_ndcg@10" in r), key=lambda r: r["valid_ndcg@10"])
    tested = trainer.evaluate(loaders["test"], load_best_model=False)
    course |= {
        "best_epoch": top["epoch"],
        "valid_ndcg@10": top["valid_ndcg@10"],
        "ndcg@10": float(tested["ndcg@10"]),
        "recall@20": float(tested["recall@20"]),
    }
    write_json(out, course)
    checkpoint.unlink(missing_ok=True)


def main() -> None:
    """Train, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="RecBole's name: BPR, LightGCN, NGCF")
    parser.add_argument("split", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--eval-every", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    split, out = arguments.split.resolve(), arguments.out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # RecBole writes into the working directory
        opened = open_training(arguments.model, split, arguments.settings, arguments.seed, Path(folder, "recbole"))
        train(*opened, arguments.epochs, arguments.patience, arguments.eval_every, out)


if __name__ == "__main__":
    main()
