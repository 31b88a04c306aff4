"""How to run, as opposed to what to learn: seed, device, and who listens to progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class EpochEvent:
    """One finished epoch (or outer epoch) of a training called ``label``."""

    label: str
    epoch: int  # 1-based
    total: int  # the most epochs there can be; early stopping may end sooner
    metrics: Mapping[str, float] = field(default_factory=dict)


class EpochCallback(Protocol):
    """Called after every epoch; must not change what it is given."""

    def __call__(self, event: EpochEvent, /) -> None:
        """Hear of one epoch."""
        ...


def ignore_epochs(event: EpochEvent, /) -> None:
    """The callback of someone who does not listen."""


@dataclass(frozen=True)
class RunOptions:
    """Run context of a fit or a condensation: never part of a dataset's or a model's identity but for ``seed``."""

    seed: int = 0
    device: Device = "auto"
    label: str = ""
    on_epoch: EpochCallback = ignore_epochs
    checkpoints: Path | None = None
    """Folder in which unfinished trainings leave their state, to go on from at the next start; none by default."""
    checkpoint_seconds: float = 30.0
    """Seconds of training between two checkpoints."""

    def named(self, label: str) -> "RunOptions":
        """The same options, with progress reported under ``label``."""
        return replace(self, label=label)
