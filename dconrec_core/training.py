"""The loop around every trained model: epochs, early stopping on valid, progress, and what is remembered of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dconrec_core.errors import TrainingError
from dconrec_core.evaluation import RankingTask, ScoreFunction
from dconrec_core.options import EpochEvent, RunOptions

if TYPE_CHECKING:
    from dconrec_core.models.base import EpochConfig

CRITERION = "ndcg@10"


@dataclass
class History:
    """What a training did.

    Attributes:
        rows: One a look at valid (one an epoch without it): ``epoch``, ``loss`` and, where measured, ``valid_ndcg@10``.
        best_epoch: The epoch whose weights were kept.
        best_valid: Its validation NDCG@10; NaN without a validation task.
        seconds_to_best: Wall time until that epoch had been validated.
        seconds: Wall time of the whole training.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_valid: float = math.nan
    seconds_to_best: float = 0.0
    seconds: float = 0.0


def run_epochs(
    config: "EpochConfig",
    *,
    epoch: Callable[[], float],
    score: Callable[[], ScoreFunction],
    snapshot: Callable[[], Any],
    restore: Callable[[Any], None],
    valid: RankingTask | None,
    options: RunOptions,
    describe: str,
) -> History:
    """Train until the validation NDCG@10 has not improved for ``config.patience`` epochs and keep the best weights.

    Args:
        config: Number of epochs, patience, epochs between two validations.
        epoch: Trains one epoch and returns its mean loss.
        score: Gives the score function of the weights as they are now.
        snapshot: Copies the weights.
        restore: Puts a copy back.
        valid: The validation task; without one the last epoch is kept.
        options: Label and listener of the progress.
        describe: The settings, for the message when the loss is not finite.

    Raises:
        TrainingError: A loss is not finite.
    """
    history, started, best = History(), time.perf_counter(), None
    last_finite = math.nan
    for number in range(1, config.epochs + 1):
        loss = epoch()
        if not math.isfinite(loss):
            raise TrainingError(
                f"{options.label or 'training'}: the loss is {loss} in epoch {number} ({describe}; last finite loss "
                f"{last_finite:.6g}); lower the learning rate"
            )
        last_finite = loss
        row: dict[str, float] = {"epoch": number, "loss": loss}
        look = valid is not None and (number % config.eval_every == 0 or number == config.epochs)
        if look and valid is not None:
            row[f"valid_{CRITERION}"] = valid.measure(score(), (10,))[CRITERION]
            if best is None or row[f"valid_{CRITERION}"] > history.best_valid:
                best, history.best_epoch, history.best_valid = snapshot(), number, row[f"valid_{CRITERION}"]
                history.seconds_to_best = time.perf_counter() - started
        if look or valid is None:
            history.rows.append(row)
        options.on_epoch(EpochEvent(options.label, number, config.epochs, row))
        if best is not None and number - history.best_epoch >= config.patience:
            break
    if best is not None:
        restore(best)
    else:
        history.best_epoch = config.epochs
    history.seconds = time.perf_counter() - started
    history.seconds_to_best = history.seconds_to_best or history.seconds
    return history
