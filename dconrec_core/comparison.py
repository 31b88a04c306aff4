"""Train one model on several sets side by side, every side tuned on valid by the same search (docs/evaluation.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dconrec_core.evaluation import CUTOFFS, RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.training import History
from dconrec_core.types import Interactions, Split


@dataclass(frozen=True)
class Trained:
    """The best of a search on valid, and its figures on test.

    Attributes:
        config: The chosen settings.
        history: Its training.
        metrics: Its test metrics.
        tuning_seconds: Wall time of the whole search.
    """

    config: Mapping[str, Any]
    history: History
    metrics: Mapping[str, float]
    tuning_seconds: float


def train_and_measure(
    model: str,
    settings: Mapping[str, Any],
    train: Interactions,
    split: Split,
    trials: int,
    options: RunOptions,
) -> Trained:
    """Fit ``model`` with each of the first ``trials`` settings, keep the best on valid and measure that one on test.

    Test is read once, for the chosen one. Masks come from the split, whatever the model was trained on.

    Args:
        model: Name in ``MODELS``.
        settings: What departs from the model's defaults, in every trial.
        train: The training set: the split's own, or a condensed one over the same catalogue.
        split: Where valid and test come from.
        trials: Size of the search.
        options: Seed, device, label, listener.
    """
    entry = lookup(MODELS, model, "evaluate.models")
    valid, best, seconds = RankingTask.valid(split.train, split.valid), None, 0.0
    # The configured settings replace the defaults, so the search's own steps come on top of them.
    space = entry.build(entry.config_class()).search_space()[:trials]
    for step in space:
        candidate = entry.build(entry.configure(f"evaluate.models.{model}", {**settings, **step}))
        history = candidate.fit(train, valid, options)
        seconds += history.seconds
        if best is None or history.best_valid > best[1].best_valid:
            best = (candidate, history)
    assert best is not None
    chosen, history = best
    metrics = RankingTask.test(split).measure(chosen.score, CUTOFFS)
    return Trained(chosen.config.model_dump(), history, metrics, seconds)
