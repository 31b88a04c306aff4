"""Full data, which every condensed set is compared with: each model tuned and trained on all of it, once a seed."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.results import Results, Row
from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.options import RunOptions
from dconrec_core.training import History
from dconrec_core.types import Split

COMMAND = "make bench-quality"


class References:
    """Figures of models on full data, kept in ``full.json``: what condensation does cannot change them.

    Args:
        results: The file.
    """

    def __init__(self, results: Results | None = None) -> None:
        self.results = results or Results.named("full", COMMAND, apart_from=("condensation",))

    def row(self, dataset: str, seed: int, split: Split, model: str, settings: Mapping[str, Any], trials: int) -> Row:
        """The best of a search on valid: its figures on test, its settings, its seconds."""
        case = {
            "dataset": dataset,
            "model": model,
            "seed": seed,
            "trials": trials,
            "settings": dict(settings),
            "source": {"fingerprint": split.train.fingerprint()},
        }

        def measure() -> Row:
            trained = train_and_measure(model, settings, split.train, split, trials, RunOptions(seed, "cpu"))
            return {
                "valid_ndcg@10": trained.history.best_valid,
                **{name: value for name, value in trained.metrics.items() if name in ("ndcg@10", "recall@20")},
                "train_seconds": round(trained.history.seconds_to_best, 3),
                "tuning_seconds": round(trained.tuning_seconds, 3),
                "config": json.dumps(dict(trained.config)),
            }

        return self.results.row(case, measure)


def as_trained(row: Row) -> Trained:
    """A row as the reference of ``train_and_measure``."""
    history = History(best_valid=row["valid_ndcg@10"], seconds_to_best=row["train_seconds"])
    metrics = {name: row[name] for name in ("ndcg@10", "recall@20")}
    return Trained(json.loads(row["config"]), history, metrics, metrics, row["tuning_seconds"])
