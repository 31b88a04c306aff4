"""A condensed dataset as a folder: Parquet in the user's own ids, a card for machines and one for people.

    interactions.parquet   user, item, user_id, item_id, observed, keep_prob
    users.parquet          user, user_id, synthetic
    items.parquet          item, item_id, title (where known): the whole catalogue
    card.json, card.md     what it is, where it comes from, how to load it

Its identity is one SHA-256 over the three tables.
"""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from dconrec_core import __version__
from dconrec_core.atomic import atomic_folder, write_json, write_text
from dconrec_core.data.io import read_table, write_table
from dconrec_core.errors import DataError
from dconrec_core.registry import Config, explain
from dconrec_core.types import Budget, CondensedDataset, Interactions

TABLES = ("interactions.parquet", "users.parquet", "items.parquet")
CARD = "card.json"
HOW_TO_LOAD = "from dconrec_core.condensation.dataset import read_condensed; condensed = read_condensed(folder)"


class Card(Config):
    """What a condensed dataset says of itself."""

    schema_version: Literal[1] = 1
    sha256: str
    dataset: str
    source_fingerprint: str
    ratio: float
    budget: int
    n_interactions: int
    n_source: int
    n_users: int
    n_items: int
    observed_share: float
    pseudo_share: float
    condenser: str
    config: dict[str, Any]
    seed: int
    notes: dict[str, Any]
    versions: dict[str, str]
    how_to_load: str


def dataset_sha256(folder: Path) -> str:
    """SHA-256 over the bytes of the three tables, in order: the dataset's identity in DVC, MLflow and its card."""
    digest = hashlib.sha256()
    for name in TABLES:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} does not exist; {folder} is not a condensed dataset")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def condensed_frame(condensed: CondensedDataset, users: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """The interactions as a table in dense and original ids.

    Args:
        condensed: The dataset.
        users: Columns ``user`` (dense, in order) and ``user_id``.
        items: Columns ``item`` (dense, in order) and ``item_id``.
    """
    pairs = condensed.interactions
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
    folder: Path, condensed: CondensedDataset, *, dataset: str, users: pd.DataFrame, items: pd.DataFrame
) -> Card:
    """Write the folder, all or nothing.

    Args:
        folder: Where to; replaced if it exists.
        condensed: The dataset.
        dataset: Name of the source.
        users: Columns ``user`` and ``user_id``, one row a user of the catalogue.
        items: Columns ``item``, ``item_id`` and, where known, ``title``, one row an item of the catalogue.

    Returns:
        The card that was written.
    """
    with atomic_folder(folder) as temporary:
        write_table(temporary / TABLES[0], condensed_frame(condensed, users, items))
        write_table(temporary / TABLES[1], users[["user", "user_id"]].assign(synthetic=False))
        write_table(temporary / TABLES[2], items)
        card = _card(condensed, dataset, dataset_sha256(temporary))
        write_json(temporary / CARD, card.model_dump())
        write_text(temporary / "card.md", render_card(card))
    return card


def read_card(folder: Path) -> Card:
    """The card alone, checked.

    Raises:
        DataError: There is no readable card, or it lacks a key or has one too many.
    """
    path = folder / CARD
    if not path.is_file():
        raise DataError(f"{path} does not exist; {folder} is not a condensed dataset")
    try:
        return Card.model_validate(json.loads(path.read_text(encoding="utf-8")))
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
    return CondensedDataset(
        interactions=Interactions(
            table["user"].to_numpy(np.int32), table["item"].to_numpy(np.int32), card.n_users, card.n_items
        ),
        observed=table["observed"].to_numpy(bool),
        keep_prob=table["keep_prob"].to_numpy(np.float32),
        budget=Budget(card.budget),
        condenser=card.condenser,
        config=card.config,
        seed=card.seed,
        source=card.source_fingerprint,
        n_source=card.n_source,
        notes=card.notes,
    )


def _card(condensed: CondensedDataset, dataset: str, sha256: str) -> Card:
    observed_share = float(condensed.observed.mean()) if len(condensed) else 0.0
    libraries = {name: version(name) for name in ("numpy", "torch", "pyarrow")}
    return Card(
        sha256=sha256,
        dataset=dataset,
        source_fingerprint=condensed.source,
        ratio=condensed.ratio,
        budget=condensed.budget.n_interactions,
        n_interactions=len(condensed),
        n_source=condensed.n_source,
        n_users=condensed.interactions.n_users,
        n_items=condensed.interactions.n_items,
        observed_share=observed_share,
        pseudo_share=1 - observed_share,
        condenser=condensed.condenser,
        config=dict(condensed.config),
        seed=condensed.seed,
        notes=dict(condensed.notes),
        versions={"dconrec": __version__, "python": platform.python_version(), **libraries},
        how_to_load=HOW_TO_LOAD,
    )


def render_card(card: Card) -> str:
    """The card in Markdown."""
    settings = "\n".join(f"| `{key}` | {value} |" for key, value in card.config.items()) or "| – | no settings |"
    notes = "\n".join(f"- {key}: {value}" for key, value in card.notes.items())
    return f"""# {card.dataset}, condensed by `{card.condenser}` to {card.ratio:.2%}

{card.n_interactions:,} interactions in place of {card.n_source:,} (budget {card.budget:,}), over {card.n_users:,}
users and {card.n_items:,} items; {card.observed_share:.1%} observed, {card.pseudo_share:.1%} pseudo. Seed {card.seed}.

- SHA-256 `{card.sha256}`
- source fingerprint `{card.source_fingerprint}`
- made with {", ".join(f"{name} {number}" for name, number in card.versions.items())}
{notes}

| setting of `{card.condenser}` | value |
|---|---|
{settings}

Load it with

```python
{card.how_to_load}
```

or read `interactions.parquet`: columns `user_id`, `item_id` are the source's own ids. Mask the items that
a real user has already seen by the source's training set, not by this one.
"""
