"""Full data, which every condensed set is compared with: each model tuned and trained on all of it, once a seed."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.results import ROOT, Results, Row
from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.training import History
from dconrec_core.types import Split

COMMAND = "make bench-quality"


def cannot_matter(model: str) -> tuple[str, ...]:
    """Parts of the core that cannot change a model's figures on full data.

    Condensation, loading (the split's fingerprint is part of each case) and the models that it does not import.
    """
    folder = ROOT / "dconrec_core" / "models"
    files = {name: f"{name.replace('-', '_')}.py" for name in MODELS}
    code = (folder / files[model]).read_text()
    others = (file for name, file in files.items() if name != model and f"models.{file[:-3]} import" not in code)
    return ("condensation", "data", "selection.py", *(f"models/{file}" for file in others))


class References:
    """Figures of models on full data, kept in ``full.json``."""

    def __init__(self) -> None:
        self.results: dict[str, Results] = {}

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

        if model not in self.results:
            self.results[model] = Results.named("full", COMMAND, cannot_matter(model))
        return self.results[model].row(case, measure)


def as_trained(row: Row) -> Trained:
    """A row as the reference of ``train_and_measure``."""
    history = History(best_valid=row["valid_ndcg@10"], seconds_to_best=row["train_seconds"])
    metrics = {name: row[name] for name in ("ndcg@10", "recall@20")}
    return Trained(json.loads(row["config"]), history, metrics, metrics, row["tuning_seconds"])
