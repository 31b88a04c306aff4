"""Trainings of a stage that has not ended: each is kept when it is done, so that a stage cut off does none twice."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dconrec_core.atomic import write_text
from dconrec_core.code import training_code
from dconrec_core.comparison import Trained
from dconrec_core.training import History
from dconrec_core.types import Split

PATTERN = "finished-*.json"


class Finished:
    """Finished trainings, a file each beside the checkpoints; ``clear`` removes them when the stage is done.

    Args:
        folder: Where; None where nothing is to be kept.

    Attributes:
        seconds: That the trainings took which an earlier try had done.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.seconds = 0.0
        self._used: list[Path] = []

    def get(self, identity: Mapping[str, Any], train: Callable[[], Trained]) -> Trained:
        """What an earlier try found, or what ``train`` finds now.

        Args:
            identity: Everything that determines the training beside the core's code, which is added.
            train: Does it.
        """
        if self.folder is None:
            return train()
        path = self.folder / PATTERN.replace("*", key_of(identity))
        is_of_this_try = path in self._used  # two training sets may be equal
        self._used.append(path)
        if (kept := _read(path)) is not None:
            self.seconds += 0.0 if is_of_this_try else kept.tuning_seconds
            return kept
        trained = train()
        write_text(path, json.dumps(asdict(trained)))  # NaN and all: what trains in no epochs has no loss
        return trained

    def clear(self) -> None:
        """The stage has written what it is for."""
        for path in self._used:
            path.unlink(missing_ok=True)


def key_of(identity: Mapping[str, Any]) -> str:
    """Of a training: another model, setting, seed, set or code has another key."""
    text = json.dumps({**identity, "code": training_code()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_identity(split: Split) -> dict[str, str]:
    """What of a split determines a training's figures: histories and valid what is chosen, test what is measured."""
    parts = {"histories": split.train, "valid": split.valid, "test": split.test}
    return {name: part.fingerprint() for name, part in parts.items()}


def _read(path: Path) -> Trained | None:
    """None where there is none, or none that can be read: then the training is done again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Trained(**{**content, "history": History(**content["history"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
