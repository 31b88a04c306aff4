"""The loop around every trained model: epochs, early stopping on valid, progress, going on after an interruption."""

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dconrec_core.checkpoint import Arrays, Checkpoint
from dconrec_core.errors import TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import Scorer
from dconrec_core.types import Interactions

if TYPE_CHECKING:
    from dconrec_core.models.base import EpochConfig

CRITERION = "ndcg@10"


class Trainer(Scorer, Protocol):
    """One model in training on one device; it scores by the weights as they are now."""

    train: Interactions
    """What it learns from."""

    def epoch(self) -> float:
        """Visit every interaction once, in a new order; returns the mean loss."""
        ...

    def weights(self) -> Arrays:
        """Copies of what early stopping keeps."""
        ...

    def restore(self, weights: Arrays) -> None:
        """Put such weights back."""
        ...

    def state(self) -> Arrays:
        """Everything that going on exactly needs: weights, the optimiser's state, random streams. Not copied."""
        ...

    def resume(self, state: Arrays) -> None:
        """Take such a state over."""
        ...


@dataclass
class History:
    """What a training did.

    Attributes:
        rows: One a look at valid (one an epoch without it): ``epoch``, ``loss`` and, where measured, ``valid_ndcg@10``.
        best_epoch: The epoch whose weights were kept.
        best_valid: Its validation NDCG@10; NaN without a validation task.
        seconds_to_best: Wall time from the beginning of the fit until that epoch had been validated.
        seconds: Wall time of the whole fit, without the time between an interruption and the next start.
        last_loss: Mean loss of the last epoch.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_valid: float = math.nan
    seconds_to_best: float = 0.0
    seconds: float = 0.0
    last_loss: float = math.nan


def run_epochs(
    name: str,
    config: "EpochConfig",
    trainer: Trainer,
    valid: RankingTask | None,
    options: RunOptions,
    begun: float | None = None,
) -> History:
    """Train until the validation NDCG@10 has not improved for ``config.patience`` epochs and keep the best weights.

    With ``options.checkpoints`` a long training leaves its state there now and then; the same training started again
    goes on from it and ends in the same bytes.

    Args:
        name: The model's name in ``MODELS``.
        config: Its settings.
        trainer: What is trained.
        valid: The validation task; without one, or where nobody has anything to find, the last epoch is kept.
        options: Label and listener of the progress, folder of checkpoints.
        begun: When the fit began, by ``time.perf_counter``: making the trainer (graph, spectral start) is a part of its
            seconds. Now by default.

    Raises:
        TrainingError: A loss is not finite.
        DataError: ``valid`` is not about what is trained; see ``RankingTask.check``.
    """
    history, best, clock = History(), None, time.perf_counter
    if valid is not None:
        valid.check(trainer.train)
        if not len(valid.users):  # every look would be as good as the first
            history.best_valid, valid = 0.0, None
    begun = clock() if begun is None else begun
    checkpoint = Checkpoint.of(options, name, config, trainer.train, valid)
    first = 1
    passes = passes_of(config, len(trainer.train))
    if saved := checkpoint.load():
        trainer.resume(saved.state)
        history, best, first = History(**saved.history), saved.best, saved.epoch + 1
    started = begun - history.seconds
    for number in range(first, config.epochs + 1):
        loss = sum(trainer.epoch() for _ in range(passes)) / passes
        if not math.isfinite(loss):
            raise TrainingError(_diverged(options.label or name, config, loss, number, history.last_loss))
        history.last_loss = loss
        row: dict[str, float] = {"epoch": number, "loss": loss}
        look = valid is not None and (number % config.eval_every == 0 or number == config.epochs)
        if look and valid is not None:
            row[f"valid_{CRITERION}"] = valid.measure(valid.score_of(trainer), (10,))[CRITERION]
            if best is None or row[f"valid_{CRITERION}"] > history.best_valid:
                best, history.best_epoch, history.best_valid = trainer.weights(), number, row[f"valid_{CRITERION}"]
                history.seconds_to_best = clock() - started
        if look or valid is None:
            history.rows.append(row)
        options.on_epoch(EpochEvent(options.label, number, config.epochs, row))
        if best is not None and number - history.best_epoch >= config.patience:
            break
        if checkpoint.due():
            history.seconds = clock() - started
            checkpoint.save(number, trainer.state(), best, vars(history))
    if best is not None:
        trainer.restore(best)
    else:
        history.best_epoch = config.epochs
    history.seconds = clock() - started
    history.seconds_to_best = history.seconds_to_best or history.seconds
    checkpoint.remove()
    return history


def passes_of(config: "EpochConfig", n_interactions: int) -> int:
    """Passes over a training set that make an epoch; see ``EpochConfig.epoch_interactions``."""
    return math.ceil(config.epoch_interactions / n_interactions) if n_interactions else 1


def _diverged(label: str, config: "EpochConfig", loss: float, epoch: int, last: float) -> str:
    steps = {name: value for name, value in config.model_dump().items() if name in ("learning_rate", "weight_decay")}
    settings = ", ".join(f"{name} {value}" for name, value in steps.items())
    before = f"last finite loss {last:.6g}" if math.isfinite(last) else "none before it was finite"
    return f"{label}: the loss is {loss} in epoch {epoch} ({settings}; {before}); lower the learning rate"
