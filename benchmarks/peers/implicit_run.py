"""implicit's side of the speed cases: epochs of its BPR. Runs in the peers' environment."""

import time

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse

from benchmarks.processes import Answer, serve


def train(split: str, epochs: int, factors: int) -> Answer:
    """Seconds of each epoch: as many draws as there are interactions, on one thread; the first is a warm-up."""
    with np.load(split) as arrays:
        users, items = arrays["train"]
        shape = tuple(arrays["shape"].tolist())
    matrix = sparse.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
    ends = []
    model = BayesianPersonalizedRanking(factors=factors, num_threads=1, iterations=epochs + 1, random_state=0)
    model.fit(matrix, show_progress=False, callback=lambda *_: ends.append(time.perf_counter()))
    return {"train_seconds": np.diff(ends).tolist()}


if __name__ == "__main__":
    serve({"train": train})
