"""The state of a training that is not finished, on disk: one safetensors file that names the training it belongs to."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dconrec_core.atomic import atomic_file
from dconrec_core.code import training_code
from dconrec_core.device import resolve_device
from dconrec_core.options import RunOptions
from dconrec_core.types import Interactions

if TYPE_CHECKING:
    from dconrec_core.evaluation import RankingTask
    from dconrec_core.registry import Config

Arrays = dict[str, npt.NDArray[Any]]
"""Arrays by name, as weights and states travel."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Args:
        epoch: The last epoch that is in it.
        state: The trainer's state after it.
        best: The best weights so far; None where valid has not been looked at.
        history: The history so far, as keyword arguments.
    """

    epoch: int
    state: Arrays
    best: Arrays | None
    history: dict[str, Any]


class Checkpoint:
    """Where one training leaves its state, every ``seconds`` of it.

    Args:
        path: The file; None where nobody asked for checkpoints.
        seconds: Training time between two of them, so that short trainings write none.
    """

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.seconds, self.last = path, seconds, time.monotonic()

    @classmethod
    def of(
        cls, options: RunOptions, name: str, config: "Config", train: Interactions, valid: "RankingTask | None"
    ) -> Self:
        """The checkpoint of the training that these determine: another model, setting, seed or set has another file.

        So have other code, whose state this one would not end in, and another kind of device, whose random streams
        this one cannot take over.
        """
        if options.checkpoints is None:
            return cls(None, options.checkpoint_seconds)
        identity = {
            "model": name,
            "config": config.model_dump(mode="json"),
            "seed": options.seed,
            "device": resolve_device(options.device).type,
            "train": train.fingerprint(),
            "valid": valid.target.fingerprint() if valid else None,
            "histories": valid.histories.fingerprint() if valid and valid.histories else None,
            "seen": valid.seen.fingerprint() if valid else None,
            "wanted": valid.n_relevant.tolist() if valid else None,
            "code": training_code(),
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return cls(options.checkpoints / f"{name}-{key}.safetensors", options.checkpoint_seconds)

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self.path is not None and time.monotonic() - self.last >= self.seconds

    def save(self, epoch: int, state: Arrays, best: Arrays | None, history: Mapping[str, Any]) -> None:
        """Write, in one step, in place of the one before."""
        if self.path is None:
            return
        arrays = {f"state.{name}": array for name, array in state.items()}
        arrays |= {f"best.{name}": array for name, array in (best or {}).items()}
        about = {"epoch": str(epoch), "has_best": str(best is not None), "history": json.dumps(dict(history))}
        with atomic_file(self.path) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, about)
        self.last = time.monotonic()

    def load(self) -> Saved | None:
        """The state to go on from; None where there is none, or none that can be read: then training starts afresh."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="numpy") as file:
                about = file.metadata()
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            history = json.loads(about["history"])
            parts = {
                part: {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
                for part in ("state.", "best.")
            }
            best = parts["best."] if about["has_best"] == "True" else None
            return Saved(int(about["epoch"]), parts["state."], best, history)
        except (SafetensorError, KeyError, ValueError, TypeError):
            return None

    def remove(self) -> None:
        """The training is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
