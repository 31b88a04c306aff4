"""A condensed dataset as a folder: Parquet in the user's own ids, a card for machines and one for people.

    interactions.parquet   user, item, user_id, item_id, observed, keep_prob
    users.parquet          user, user_id, synthetic; an inductive set's own users are synthetic-0 … or sampled-0 …
    items.parquet          item, item_id, title (where known): the whole catalogue
    card.json, card.md     what it is, where it comes from, how to load and to use it

Its identity is one SHA-256 over the three tables.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from dconrec_core.atomic import atomic_folder, write_json, write_text
from dconrec_core.condensation.card import SCHEMA_VERSION, Card, make_card, render_card
from dconrec_core.data.io import read_table, write_table
from dconrec_core.errors import DataError
from dconrec_core.registry import explain
from dconrec_core.types import Budget, CondensedDataset, Interactions, int32_ids

TABLES = ("interactions.parquet", "users.parquet", "items.parquet")
CARD = "card.json"


def dataset_sha256(folder: Path) -> str:
    """SHA-256 over the bytes of the three tables, in order: the dataset's identity in DVC, MLflow and its card."""
    digest = hashlib.sha256()
    for name in TABLES:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} does not exist; {folder} is not a condensed dataset")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def condensed_users(condensed: CondensedDataset, users: pd.DataFrame | None) -> pd.DataFrame:
    """The users its ids speak of: ``user`` (dense, in order), ``user_id`` and ``synthetic``.

    Args:
        condensed: The dataset.
        users: Columns ``user`` and ``user_id`` of the source; an inductive set names its own and needs none.

    Raises:
        DataError: They are needed, and are not there.
    """
    if condensed.inductive:
        kind, numbers = "synthetic" if condensed.synthetic else "sampled", range(condensed.interactions.n_users)
        own = {"user": np.array(numbers, dtype=np.int32), "user_id": [f"{kind}-{number}" for number in numbers]}
        return pd.DataFrame(own).assign(synthetic=condensed.synthetic)
    if users is None:
        raise DataError(f"a set of {condensed.condenser!r} is over the source's users; pass their table as users")
    return users[["user", "user_id"]].assign(synthetic=False)


def condensed_frame(condensed: CondensedDataset, users: pd.DataFrame | None, items: pd.DataFrame) -> pd.DataFrame:
    """The interactions as a table in dense and original ids.

    Args:
        condensed: The dataset.
        users: See ``condensed_users``.
        items: Columns ``item`` (dense, in order) and ``item_id``.
    """
    pairs, users = condensed.interactions, condensed_users(condensed, users)
    return pd.DataFrame(
        {
            "user": pairs.users,
            "item": pairs.items,
            "user_id": users["user_id"].to_numpy()[pairs.users],
            "item_id": items["item_id"].to_numpy()[pairs.items],
            "observed": condensed.observed,
            "keep_prob": condensed.keep_prob,
        }
    )


def write_condensed(
    folder: Path, condensed: CondensedDataset, *, dataset: str, items: pd.DataFrame, users: pd.DataFrame | None = None
) -> Card:
    """Write the folder, all or nothing.

    Args:
        folder: Where to; replaced if it exists.
        condensed: The dataset.
        dataset: Name of the source.
        items: Columns ``item``, ``item_id`` and, where known, ``title``, one row an item of the catalogue.
        users: Columns ``user`` and ``user_id``, one row a user of the catalogue; an inductive set needs none.

    Returns:
        The card that was written.

    Raises:
        DataError: ``users`` are needed, and are not there.
    """
    with atomic_folder(folder) as temporary:
        write_table(temporary / TABLES[0], condensed_frame(condensed, users, items))
        write_table(temporary / TABLES[1], condensed_users(condensed, users))
        write_table(temporary / TABLES[2], items)
        card = make_card(condensed, dataset, dataset_sha256(temporary))
        write_json(temporary / CARD, card.model_dump())
        write_text(temporary / "card.md", render_card(card))
    return card


def read_card(folder: Path) -> Card:
    """The card alone, checked.

    Raises:
        DataError: There is no readable card, it is of another schema version, or it lacks a key or has one too many.
    """
    path = folder / CARD
    if not path.is_file():
        raise DataError(f"{path} does not exist; {folder} is not a condensed dataset")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and (found := content.get("schema_version")) != SCHEMA_VERSION:
            raise DataError(f"{path} has schema version {found}, {SCHEMA_VERSION} is read here; condense again")
        return Card.model_validate(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    except ValidationError as error:
        raise DataError(explain(error, str(path), Card)) from None


def read_condensed(folder: Path) -> CondensedDataset:
    """Read a folder and check its bytes against its card.

    Raises:
        DataError: A file is missing, unreadable or altered since it was written.
        BudgetError: It is over its budget.
    """
    card = read_card(folder)
    if (found := dataset_sha256(folder)) != card.sha256:
        raise DataError(
            f"{folder} has SHA-256 {found[:12]}…, its card says {card.sha256[:12]}…; restore it with dvc checkout"
        )
    table = read_table(folder / TABLES[0])
    missing = {"user", "item", "observed", "keep_prob"} - set(table.columns)
    if missing:
        raise DataError(f"{folder / TABLES[0]} has no column {sorted(missing)[0]!r}")
    try:
        users, items = (int32_ids(name, table[name].to_numpy()) for name in ("user", "item"))
        interactions = Interactions(users, items, card.n_users, card.n_items)
        observed, keep_prob = table["observed"].to_numpy(bool), table["keep_prob"].to_numpy(np.float32)
    except (DataError, ValueError, TypeError) as error:
        raise DataError(f"{folder / TABLES[0]}: {error}; it is no condensed set") from None
    return CondensedDataset(
        interactions=interactions,
        observed=observed,
        keep_prob=keep_prob,
        budget=Budget(card.budget),
        condenser=card.condenser,
        config=card.config,
        seed=card.seed,
        source=card.source_fingerprint,
        n_source=card.n_source,
        n_users_source=card.n_users_source,
        inductive=card.inductive,
        notes=card.notes,
    )
