"""selection: rank configurations on the condensed set and on full data, and see what the choice made there is worth."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dconrec_core.atomic import write_json, write_text
from dconrec_core.condensation.dataset import read_card, read_condensed
from dconrec_core.data.io import read_split
from dconrec_core.device import resolve_device
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.selection import (
    GRID,
    SHORTLISTS,
    Agreement,
    Configuration,
    Measured,
    by_turns,
    configurations,
    rank_agreement,
    shortlists,
    train_once,
)
from dconrec_core.types import Interactions
from tasks.finished import key_of, split_identity
from tasks.params import SelectParams
from tasks.pretrain import write_csv
from tasks.selection_page import selection_page
from tasks.workspace import Workspace

FIGURES = {"valid": "valid_ndcg@10", "test": "ndcg@10", "recall": "recall@20", "seconds": "train_seconds"}
"""Fields of ``Measured``, and what the table and MLflow call them."""
PIPELINE_FIRST = "run the pipeline first (make demo, or dvc repro condense)"


@dataclass(frozen=True)
class Side:
    """What configurations are trained on: ``condensed``, or ``full`` data."""

    name: str
    interactions: Interactions
    inductive: bool


@dataclass(frozen=True)
class Training:
    """One configuration on one side."""

    configuration: Configuration
    side: Side

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.configuration.name} on {self.side.name}"


class Selection:
    """What is to be trained, and what is trained already.

    Args:
        params: Grid, shortlist and seed.
        files: Reads split and condensed; writes the four files called selection.
        options: Device, listener, checkpoints; the seed is that of ``params``.
        fold_in: Whether real users are folded in also where the condensed set holds rows of theirs.

    Raises:
        DataError: There is no condensed set, or it stands for other training data.
        ConfigError: See ``wanted_configurations``.
    """

    def __init__(self, params: SelectParams, files: Workspace, options: RunOptions, fold_in: bool = False) -> None:
        self.files, self.options = files, replace(options, seed=params.seed)
        self.configurations = wanted_configurations(params)
        self.shortlist = params.shortlist if params.shortlist != len(self.configurations) else None  # that is all
        if not files.condensed.is_dir():
            raise DataError(f"{files.condensed} does not exist; {PIPELINE_FIRST}")
        self.split, self.card = read_split(files.split), read_card(files.condensed)
        self.condensed = read_condensed(files.condensed)
        if self.condensed.source != self.split.train.fingerprint():
            raise DataError(f"{files.condensed} was made from other training data than {files.split}; {PIPELINE_FIRST}")
        self.device = str(resolve_device(options.device))
        condensed = Side("condensed", self.condensed.interactions, self.condensed.inductive or fold_in)
        self.sides = (condensed, Side("full", self.split.train, False))
        self.rows = Rows(files.selection_rows)

    @property
    def n_trainings(self) -> int:
        """On both sides together."""
        return len(self.configurations) + (self.shortlist or len(self.configurations))

    def rounds(self) -> Iterator[list[Training]]:
        """All trainings; a round is known when those of the rounds before are finished.

        One round, the two sides of a configuration in turn, so that what slows the machine down slows both; with a
        shortlist two, the condensed side and then the shortlist on full data.
        """
        condensed, full = self.sides
        if self.shortlist is None:
            yield [Training(one, side) for one in self.configurations for side in self.sides]
        else:
            yield [Training(one, condensed) for one in self.configurations]
            yield [Training(one, full) for one in self._of_full_data()]

    def finished(self, training: Training) -> Measured | None:
        """What an earlier run measured; None where none did."""
        return self.rows.get(self._key(training))

    def measure(self, training: Training) -> Measured:
        """What was measured before, or is now; on disk when it returns."""
        if measured := self.finished(training):
            return measured
        torch.set_num_threads(1)  # in the thread that trains: seconds are those of one core, on either side
        side = training.side
        listening = self.options.named(training.name)
        measured = train_once(training.configuration, side.interactions, self.split, listening, side.inductive)
        self.rows.put(self._key(training), training.name, measured)
        return measured

    def result(self) -> dict[str, Any]:
        """Everything that ``selection.json`` holds; all trainings must be finished.

        Raises:
            DataError: Every training of the shortlist failed on full data.
        """
        condensed = self._seen(self.configurations, self.sides[0])
        full = self._seen(self._of_full_data(), self.sides[1])
        if self.shortlist is not None and all(one.failure for one in full.values()):
            raise DataError(
                f"select.shortlist is {self.shortlist}, and nothing of it could be trained on full data "
                f"({next(iter(full.values())).failure}); make it longer, or take that model out of select.grid"
            )
        sizes = SHORTLISTS if self.shortlist is None else (self.shortlist,)
        return {
            "dataset": self.card.dataset,
            "condenser": self.card.condenser,
            "ratio": self.card.ratio,
            "inductive": self.sides[0].inductive,
            "own_users": self.condensed.inductive,
            "condensed_sha256": self.card.sha256,
            "n_condensed": self.card.n_interactions,
            "n_full": len(self.split.train),
            "shortlist": self.shortlist,
            "seed": self.options.seed,
            "device": self.device,
            "threads": 1,
            **asdict(rank_agreement(condensed, full)),
            "shortlists": [asdict(one) for one in shortlists(condensed, full, sizes)],
            "rows": [
                {
                    "configuration": one.name,
                    "model": one.model,
                    "settings": dict(one.settings),
                    "condensed": asdict(condensed[one.name]),
                    "full": asdict(full[one.name]) if one.name in full else None,
                }
                for one in self.configurations
            ],
        }

    def write(self) -> dict[str, Any]:
        """Write and return the result."""
        result = self.result()
        write_json(self.files.selection, result)
        write_csv(self.files.selection_table, table(result))
        write_text(self.files.selection_page, selection_page(result))
        return result

    def _of_full_data(self) -> list[Configuration]:
        """Those that are trained on full data; a shortlist in its order, once the condensed side is over."""
        if self.shortlist is None:
            return self.configurations
        by_name = {one.name: one for one in self.configurations}
        return [by_name[name] for name in by_turns(self._seen(self.configurations, self.sides[0]))[: self.shortlist]]

    def _seen(self, configurations: list[Configuration], side: Side) -> dict[str, Measured]:
        """What each showed, by name."""
        return {one.name: self._finished(Training(one, side)) for one in configurations}

    def _finished(self, training: Training) -> Measured:
        if (measured := self.finished(training)) is None:
            raise DataError(f"{training.name} is not trained yet")
        return measured

    def _key(self, training: Training) -> str:
        one, side = training.configuration, training.side
        config = MODELS[one.model].configure(f"select.grid.{one.model}", one.settings)
        identity = {
            "model": one.model,
            "config": config.model_dump(mode="json"),
            "side": side.name,
            "train": side.interactions.fingerprint(),
            "inductive": side.inductive,
            **self._split_identity,
            "seed": self.options.seed,
            "device": self.device,
        }
        return key_of(identity)

    @cached_property
    def _split_identity(self) -> dict[str, str]:
        return split_identity(self.split)


def wanted_configurations(params: SelectParams) -> list[Configuration]:
    """The configurations that a selection is to choose among, checked.

    Raises:
        ConfigError: See ``dconrec_core.selection.configurations``; or the shortlist is longer than the grid.
    """
    found = configurations(GRID if params.grid is None else params.grid)
    if params.shortlist is not None and params.shortlist > len(found):
        raise ConfigError(
            f"select.shortlist is {params.shortlist}, select.grid holds {len(found)} configurations; give at most that "
            "many, or null to train all on full data"
        )
    return found


class Rows:
    """Finished trainings in one JSON file, complete on disk after each.

    Args:
        path: The file; removing it is how to train everything anew.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        try:
            self._rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
            self._measured = {key: Measured(**row["measured"]) for key, row in self._rows.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path} cannot be read; remove it, and everything is trained anew") from None

    def get(self, key: str) -> Measured | None:
        """What was measured, or None."""
        return self._measured.get(key)

    def put(self, key: str, name: str, measured: Measured) -> None:
        """Remember it."""
        with self._lock:
            self._measured[key] = measured
            self._rows[key] = {"name": name, "measured": asdict(measured)}
            write_json(self.path, self._rows)


def table(result: Mapping[str, Any]) -> pd.DataFrame:
    """One row a configuration: its settings, and what both sides showed of it; empty where it was not trained."""
    return pd.DataFrame(
        [
            {"configuration": row["configuration"], "model": row["model"], "settings": json.dumps(row["settings"])}
            | {
                f"{side}_{name}": row[side][key] if row[side] else None
                for side in ("condensed", "full")
                for key, name in {**FIGURES, "failure": "failure"}.items()
            }
            for row in result["rows"]
        ]
    )


def agreement_of(result: Mapping[str, Any]) -> Agreement:
    """The summary in a result that was read back."""
    return Agreement(**{name: result[name] for name in Agreement.__dataclass_fields__})
