"""RecBole's BPR and LightGCN on our split: a figure to stand beside ours, never a target of a test.

Reads ``data/split`` (any split folder: ``--split``), tries every learning rate on valid, and puts one row for each into
``recbole_quality.json``; rows of other seeds stay. Run from the project's root in the environment of
``requirements.txt``: ``python -m tests.reference.compare_quality`` (see README.md).
"""

import argparse
import contextlib
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from recbole.trainer import Trainer
from recbole.utils import get_model, init_seed

from tests.reference._recbole import PARTS, forget_propagated, prepare

QUALITY = Path(__file__).with_name("recbole_quality.json").resolve()
LEARNING_RATES = (0.001, 0.003)
PATIENCE = 20  # epochs without a better NDCG@10 on valid; RecBole's 10 stop its BPR too early on data this small
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bprmf": ("BPR", {"embedding_size": 64}),
    "lightgcn": ("LightGCN", {"embedding_size": 64, "n_layers": 2}),
}
Row = dict[str, Any]


def train(model: str, pairs: dict[str, list[tuple[int, int]]], seed: int, learning_rate: float, folder: Path) -> Row:
    """One training with early stopping on valid; the best epoch is kept and tested."""
    recbole_model, settings = MODELS[model]
    settings = {**settings, "learning_rate": learning_rate, "stopping_step": PATIENCE, "epochs": 1000, "seed": seed}
    init_seed(seed, reproducibility=True)
    config, _, loaders = prepare(folder, recbole_model, pairs, settings)
    network = get_model(recbole_model)(config, loaders["train"].dataset)
    trainer = Trainer(config, network)
    best: dict[str, Any] = {"score": -1.0}

    def remember(epoch: int, score: float) -> None:
        if score > best["score"]:
            best.update(score=score, epoch=epoch + 1, state=copy.deepcopy(network.state_dict()))

    trainer.fit(loaders["train"], loaders["valid"], verbose=False, saved=False, callback_fn=remember)
    network.load_state_dict(best["state"])
    forget_propagated(network)
    tested = trainer.evaluate(loaders["test"], load_best_model=False)
    return {
        "model": model,
        "seed": seed,
        "learning_rate": learning_rate,
        "best_epoch": best["epoch"],
        "valid_ndcg@10": float(best["score"]),
        **{name: float(tested[name]) for name in ("ndcg@10", "recall@20")},
    }


def main() -> None:
    """Try every model and learning rate, mark what valid chose, and keep rows of other seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", type=Path, default=Path("data/split"))
    split = parser.parse_args().split.resolve()
    torch.set_num_threads(1)
    seed = int(json.loads((split / "split.json").read_text())["seed"])
    frames = {part: pd.read_parquet(split / f"{part}.parquet") for part in PARTS}
    pairs = {part: list(zip(frame["user"], frame["item"], strict=True)) for part, frame in frames.items()}

    known = json.loads(QUALITY.read_text())["rows"] if QUALITY.exists() else []
    rows = [row for row in known if row["seed"] != seed]
    for model in MODELS:
        tried = []
        for learning_rate in LEARNING_RATES:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                tried.append(train(model, pairs, seed, learning_rate, Path(folder, "recbole")))
            print(tried[-1], flush=True)
        best = max(tried, key=lambda row: row["valid_ndcg@10"])
        rows += [{**row, "chosen": row is best} for row in tried]
    rows.sort(key=lambda row: (row["seed"], row["model"], row["learning_rate"]))
    n_interactions = {part: len(frame) for part, frame in frames.items()}
    content = {"recbole": "1.2.1", "patience": PATIENCE, "n_interactions": n_interactions, "rows": rows}
    QUALITY.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
