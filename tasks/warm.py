"""Where the condenser goes on from an earlier set: found by its SHA-256, translated to the catalogue of today."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.base import Condenser
from dconrec_core.condensation.dataset import read_card, read_condensed
from dconrec_core.condensation.synthetic_users import SyntheticUsersConfig
from dconrec_core.condensation.warm import Earlier, WarmSyntheticUsers
from dconrec_core.data.io import read_table
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, IntArray, Interactions
from tasks.params import CondenseParams

CHAMPIONS = Path("data/champions")
"""Earlier sets, each in a folder that its SHA-256 names."""
WARM = ("synthetic-users", "auto")


class WarmAuto:
    """What ``auto`` chose for the earlier set, without trying the others again.

    Args:
        search: From the earlier set, with the settings chosen then.
        config: Settings of ``auto``.
        notes: Of the earlier set: what was chosen.
    """

    name = "auto"

    def __init__(self, search: WarmSyntheticUsers, config: dict[str, Any], notes: dict[str, Any]) -> None:
        self.search, self.config, self.notes = search, config, notes

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``."""
        made = self.search.condense(pool, valid, budget, options)
        return replace(made, condenser=self.name, config=self.config, notes={**made.notes, **self.notes})


def check_start(params: CondenseParams) -> None:
    """Whether the condenser can go on from ``condense.start``, where that is set.

    Raises:
        ConfigError: It always starts anew.
    """
    if params.start is not None and params.name not in WARM:
        raise ConfigError(
            f"condense.start is set, but {params.name} always starts anew; "
            f"choose {' or '.join(WARM)}, or leave it empty"
        )


def warm_condenser(params: CondenseParams, items: pd.DataFrame, root: Path) -> Condenser:
    """The condenser that goes on from ``condense.start``.

    Args:
        params: Condenser and start.
        items: Columns ``item`` and ``item_id`` of today's catalogue.
        root: The project's folder.

    Raises:
        ConfigError: The condenser always starts anew.
        DataError: The earlier set is not there, is another one, was altered, or has no made-up users.
    """
    assert params.start is not None
    check_start(params)
    folder = root / CHAMPIONS / params.start
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist; put the condensed set of that SHA-256 there (the champion: "
            f"python -m flows.consume --out {folder}), or leave condense.start empty"
        )
    condensed = read_condensed(folder)
    if (found := read_card(folder).sha256) != params.start:
        raise DataError(
            f"{folder} holds the set {found[:12]}…, and not the one that names it and condense.start; put that one "
            "there, or leave condense.start empty"
        )
    earlier = Earlier.of(condensed, translated(read_table(folder / "items.parquet"), items, "item"), len(items))
    if params.name != "auto":
        return WarmSyntheticUsers(_configured("condense.config", params.config), earlier)
    of_its_own = {name: value for name, value in condensed.config.items() if name in SyntheticUsersConfig.model_fields}
    chosen = dict(condensed.notes.get("chosen_settings", of_its_own))  # of auto, or of one that was asked for by name
    steps = {"steps": params.config["steps"]} if params.config.get("steps") else {}
    notes = {
        "chosen": "synthetic-users",
        "chosen_settings": chosen,
        "why": f"goes on from the set {params.start[:12]}…, with what was chosen then",
    }
    search = WarmSyntheticUsers(_configured("condense.start", {**chosen, **steps}), earlier)
    return WarmAuto(search, dict(params.config), notes)


def _configured(where: str, settings: Mapping[str, Any]) -> SyntheticUsersConfig:
    config = CONDENSERS["synthetic-users"].configure(where, settings)
    assert isinstance(config, SyntheticUsersConfig)
    return config


def translated(then: pd.DataFrame, now: pd.DataFrame, column: str) -> IntArray:
    """Today's dense id of each earlier one, by the source's own id; -1 for what is gone.

    Args:
        then: ``column`` (dense, in order) and ``column_id``.
        now: The same of today.
        column: ``user`` or ``item``.
    """
    place = pd.Series(now[column].to_numpy(), index=now[f"{column}_id"].astype(str))
    found = place.reindex(then[f"{column}_id"].astype(str)).fillna(-1)
    return np.asarray(found, dtype=np.int32)
