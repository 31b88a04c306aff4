"""One training with its clock: how good it was on valid, and when."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.inductive import over_mentioned_items
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.training import History
from dconrec_core.types import Interactions


@dataclass(frozen=True)
class TimedTraining:
    """What a training did.

    Attributes:
        history: As the model tells it; its seconds hold the looks at valid.
        looks: Of each look at valid, in order: seconds since the training began, NDCG@10.
    """

    history: History
    looks: list[tuple[float, float]]

    def seconds_to(self, wanted: float) -> float | None:
        """Seconds until NDCG@10 on valid first was ``wanted`` or more; None where it never was."""
        return next((seconds for seconds, valid in self.looks if valid >= wanted), None)


def timed_training(
    model: str, config: Mapping[str, Any], train: Interactions, valid: RankingTask, options: RunOptions
) -> TimedTraining:
    """Train once.

    Args:
        model: Name in ``MODELS``.
        config: Its settings.
        train: What to learn from.
        valid: The validation task; an inductive one folds real users in.
        options: Seed and device; its listener hears nothing.
    """
    looks: list[tuple[float, float]] = []

    def listen(event: EpochEvent, /) -> None:
        if "valid_ndcg@10" in event.metrics:
            looks.append((time.perf_counter() - started, event.metrics["valid_ndcg@10"]))

    recommender = over_mentioned_items(
        MODELS[model].build(MODELS[model].configure(model, config)), valid.histories is not None
    )
    started = time.perf_counter()
    return TimedTraining(recommender.fit(train, valid, replace(options, on_epoch=listen)), looks)
