"""What a recommender is: fitted on interactions, it scores the whole catalogue for any of its users."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from dconrec_core.evaluation import RankingTask
from dconrec_core.options import RunOptions
from dconrec_core.ranking import ScoreFunction, Scorer
from dconrec_core.registry import Config
from dconrec_core.training import History
from dconrec_core.types import Interactions

State = Mapping[str, npt.NDArray[np.generic]]


class EpochConfig(Config):
    """Settings shared by every model that is trained in epochs."""

    epochs: int = Field(300, ge=1)
    """The most epochs; early stopping usually ends sooner."""
    patience: int = Field(25, ge=1)
    """Epochs without a better validation NDCG@10 after which training stops."""
    epoch_interactions: int = Field(1, ge=1)
    """An epoch is as many passes over the training set as visit so many interactions, at least one. So a small set has
    as many steps between two looks at valid, each of which costs the same whatever was trained on, as a larger one."""
    eval_every: int = Field(5, ge=1)
    """Epochs between two looks at the validation set, at most ``patience``: else the first look would be the last."""

    @model_validator(mode="after")
    def _patience_lasts_for_a_second_look(self) -> Self:
        if self.eval_every > self.patience:
            raise ValueError(
                f"eval_every {self.eval_every} is above patience {self.patience}, so that training would stop before "
                "its second look at valid; lower eval_every or raise patience"
            )
        return self


class Recommender(Scorer, Protocol):
    """A model of the ``MODELS`` registry."""

    config: Any

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """Learn from ``train`` alone; ``valid`` decides when to stop and which epoch to keep.

        Args:
            train: What to learn from: a real training set or a condensed one over the same catalogue.
            valid: The validation task, or None to train for all epochs and keep the last.
            options: Seed, device and who listens.

        Raises:
            TrainingError: A loss is not finite.
            ConfigError: The device is not there.
            DataError: ``valid`` is not about ``train``; see ``RankingTask.check``.
        """
        ...

    @property
    def score(self) -> ScoreFunction:
        """See ``Scorer.score``.

        Raises:
            NotFittedError: The model was neither fitted nor loaded.
        """
        ...

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``.

        Raises:
            DataError: ``histories`` has another number of items.
            NotFittedError: The model was neither fitted nor loaded.
        """
        ...

    def state(self) -> State:
        """Everything that scoring and folding in need, as arrays by name."""
        ...

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        ...

    def search_space(self) -> list[dict[str, Any]]:
        """Settings worth trying on valid, best guess first; the first is the defaults."""
        ...
