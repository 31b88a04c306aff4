"""The split stage: ratings that passed the checks become interactions over dense ids, in three parts per user."""

from pathlib import Path

import numpy as np
import pandas as pd

from dconrec_core.atomic import atomic_folder, write_json
from dconrec_core.data.io import read_table, write_split, write_table
from dconrec_core.data.prepare import Prepared
from dconrec_core.data.prepare import prepare as to_interactions
from dconrec_core.errors import DataError
from dconrec_core.splitting import given_split, random_split, temporal_split
from dconrec_core.types import Split
from tasks.params import PrepareParams, SplitParams
from tasks.validate import check_prepared


def split(prepare: PrepareParams, params: SplitParams, seed: int, validated: Path, out: Path) -> None:
    """Prepare, split per user, check and write.

    Reads ``ratings.parquet`` and perhaps ``items.parquet``; writes the parts (``train``, ``valid``, ``test``
    ``.parquet``), ``users.parquet`` and ``items.parquet`` (dense id to the source's id, titles), ``split.json`` and
    ``checks.json``.

    Raises:
        DataError: Nothing is left, what is left is too small or breaks a rule, or a column that is needed is missing.
        ConfigError: The shares leave nothing to train on.
    """
    titles = validated / "items.parquet"
    prepared = to_interactions(
        read_table(validated / "ratings.parquet"),
        read_table(titles) if titles.is_file() else None,
        threshold=prepare.threshold,
        k_core=prepare.k_core,
    )
    parts = divide(prepared, params, seed)
    checks = check_prepared(_stacked(parts), prepared.interactions.n_users, prepared.interactions.n_items)
    with atomic_folder(out) as folder:
        write_split(folder, parts)
        write_table(folder / "users.parquet", prepared.users)
        write_table(folder / "items.parquet", prepared.items)
        write_json(folder / "split.json", _summary(prepared, parts, params, seed))
        write_json(folder / "checks.json", checks)


def divide(prepared: Prepared, params: SplitParams, seed: int) -> Split:
    """Split as the parameters say.

    Raises:
        DataError: What the strategy needs is not in the data.
        ConfigError: The shares leave nothing to train on.
    """
    if params.strategy == "random":
        return random_split(prepared.interactions, params.valid, params.test, seed)
    if params.strategy == "given":
        if prepared.parts is None:
            raise DataError(
                "split.strategy is 'given', but the data comes without a split; set split.strategy: random, "
                "or name the column in dataset.config.part"
            )
        return given_split(prepared.interactions, prepared.parts, params.valid, seed)
    if prepared.timestamps is None:
        raise DataError(
            "split.strategy is 'temporal', but the data has no timestamps; set split.strategy: random, "
            "or name the column in dataset.config.timestamp"
        )
    return temporal_split(prepared.interactions, prepared.timestamps, params.valid, params.test)


def _stacked(parts: Split) -> pd.DataFrame:
    named = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    return pd.DataFrame(
        {
            "user": np.concatenate([part.users for part in named.values()]),
            "item": np.concatenate([part.items for part in named.values()]),
            "part": np.repeat(list(named), [len(part) for part in named.values()]),
        }
    )


def _summary(prepared: Prepared, parts: Split, params: SplitParams, seed: int) -> dict[str, object]:
    interactions = prepared.interactions
    return {
        "n_users": interactions.n_users,
        "n_items": interactions.n_items,
        "n_train": len(parts.train),
        "n_valid": len(parts.valid),
        "n_test": len(parts.test),
        "density": len(interactions) / (interactions.n_users * interactions.n_items),
        # They train and are never asked about: nothing is left to find.
        "users_with_one_interaction": int((interactions.user_degree == 1).sum()),
        "dropped": dict(prepared.dropped),
        "strategy": params.strategy,
        "valid_drawn": _valid_drawn(prepared, params),
        "seed": seed,
    }


def _valid_drawn(prepared: Prepared, params: SplitParams) -> bool:
    """Whether other data or another seed would put other interactions into valid."""
    given_valid = prepared.parts is not None and bool((prepared.parts == "valid").any())
    return params.strategy == "random" or (params.strategy == "given" and not given_valid)
