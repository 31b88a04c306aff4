"""RecBole's side of the speed cases: some epochs of a training, or its full-ranking evaluator.

Runs in the peers' environment, through ``benchmarks.processes.ask``.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.recbole_train import open_training
from benchmarks.processes import Answer, serve


def train(model: str, split: str, settings: dict[str, Any], seed: int, epochs: int, validate: bool) -> Answer:
    """Seconds of each epoch, and of the look at valid after it; the last validation NDCG@10."""
    with _opened(model, split, settings, seed) as (trainer, _, loaders):
        trained, validated, quality = [], [], 0.0
        for epoch in range(epochs):
            started = time.perf_counter()
            trainer._train_epoch(loaders["train"], epoch, show_progress=False)
            trained.append(time.perf_counter() - started)
            if validate:
                started = time.perf_counter()
                quality = float(trainer._valid_epoch(loaders["valid"])[1]["ndcg@10"])
                validated.append(time.perf_counter() - started)
    return {"train_seconds": trained, "valid_seconds": validated, "valid_ndcg@10": quality}


def evaluate(split: str, factors: str, block_sizes: list[int], repeats: int) -> Answer:
    """Seconds of a full ranking with metrics of all test users by given embeddings, and those metrics.

    Args:
        split: Where the interactions are.
        factors: A file of ``users`` and ``items``, float32 ``[n, d]``.
        block_sizes: Scores a block to try; the fastest counts.
        repeats: Rankings of each; their median counts.
    """
    with np.load(factors) as tables, _opened("BPR", split, {"metrics": ["Recall", "NDCG"]}, 0) as opened:
        trainer, network, loaders = opened
        loader = loaders["test"]
        dataset = loader._dataset
        with torch.no_grad():
            for field, embedding in (("users", network.user_embedding), ("items", network.item_embedding)):
                tokens = dataset.field2id_token[dataset.uid_field if field == "users" else dataset.iid_field][1:]
                embedding.weight[1:] = torch.from_numpy(tables[field][tokens.astype(np.int64)])
        best: Answer = {}
        for size in block_sizes:
            trainer.config["eval_batch_size"] = size
            blocks = type(loader)(trainer.config, dataset, loader._sampler)
            seconds = []
            for _ in range(repeats + 1):
                started = time.perf_counter()
                measured = trainer.evaluate(blocks, load_best_model=False)
                seconds.append(time.perf_counter() - started)
            if not best or statistics.median(seconds[1:]) < best["seconds"]:
                best = {"seconds": statistics.median(seconds[1:]), "block_size": size, "metrics": dict(measured)}
    return best


@contextlib.contextmanager
def _opened(model: str, split: str, settings: dict[str, Any], seed: int) -> Iterator[tuple[Any, Any, Any]]:
    """A training in a working directory that is thrown away: RecBole writes into it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield open_training(model, Path(split), settings, seed, Path(folder, "recbole"))


if __name__ == "__main__":
    serve({"train": train, "evaluate": evaluate})
