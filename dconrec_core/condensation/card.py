"""The card of a condensed dataset: what it is, where it comes from, how to load and to use it."""

import platform
from importlib.metadata import version
from typing import Any, Literal

from dconrec_core import __version__
from dconrec_core.plain import plain
from dconrec_core.registry import Config
from dconrec_core.types import CondensedDataset

SCHEMA_VERSION: Literal[2] = 2
HOW_TO_LOAD = "from dconrec_core.condensation.dataset import read_condensed; condensed = read_condensed(folder)"
HOW_TO_USE = """from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions

model = MODELS["bprmf"].build(MODELS["bprmf"].config_class())
model.fit(condensed.interactions, None, RunOptions())
scores = model.score(users)  # users: int32, dense ids as in users.parquet; float32 [len(users), n_items]"""
HOW_TO_USE_INDUCTIVE = """from dconrec_core.models import MODELS
from dconrec_core.models.inductive import Inductive
from dconrec_core.options import RunOptions
from dconrec_core.types import Interactions

model = Inductive(MODELS["ridge"].build(MODELS["ridge"].config_class()))
model.fit(condensed.interactions, None, RunOptions())
# What your users have had, each pair once: users numbered from 0 as you like, items as in items.parquet.
history = Interactions.of(users, items, n_users, condensed.interactions.n_items)
scores = model.fold_in(history)(users)  # float32 [len(users), n_items]"""


class Card(Config):
    """What a condensed dataset says of itself."""

    schema_version: Literal[2] = SCHEMA_VERSION
    sha256: str
    dataset: str
    source_fingerprint: str
    ratio: float
    budget: int
    n_interactions: int
    n_source: int
    inductive: bool
    """Whether its users are not the source's: real users are folded in."""
    synthetic: bool
    """Whether its users are made up."""
    n_users: int
    """Users its ids speak of: the source's, or its own where it is inductive."""
    n_users_source: int
    n_items: int
    observed_share: float
    pseudo_share: float
    condenser: str
    config: dict[str, Any]
    seed: int
    notes: dict[str, Any]
    versions: dict[str, str]
    how_to_load: str
    how_to_use: str


def make_card(condensed: CondensedDataset, dataset: str, sha256: str) -> Card:
    """The card of a dataset whose tables have that SHA-256."""
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
        inductive=condensed.inductive,
        synthetic=condensed.synthetic,
        n_users=condensed.interactions.n_users,
        n_users_source=condensed.n_users_source,
        n_items=condensed.interactions.n_items,
        observed_share=observed_share,
        pseudo_share=1 - observed_share,
        condenser=condensed.condenser,
        config=dict(condensed.config),
        seed=condensed.seed,
        notes=dict(condensed.notes),
        versions={"dconrec": __version__, "python": platform.python_version(), **libraries},
        how_to_load=HOW_TO_LOAD,
        how_to_use=HOW_TO_USE_INDUCTIVE if condensed.inductive else HOW_TO_USE,
    )


def render_card(card: Card) -> str:
    """The card in Markdown."""
    settings = "\n".join(f"| `{key}` | {plain(value)} |" for key, value in card.config.items()) or "| – | no settings |"
    notes = "\n".join(f"- {key}: {plain(value)}" for key, value in card.notes.items() if key != "tried")
    return f"""# {card.dataset}, condensed by `{card.condenser}` to {card.ratio:.2%}

{_what_it_is(card)} Seed {card.seed}.

- SHA-256 `{card.sha256}`
- source fingerprint `{card.source_fingerprint}`
- made with {", ".join(f"{name} {number}" for name, number in card.versions.items())}
{notes}
{_what_was_tried(card)}
| setting of `{card.condenser}` | value |
|---|---|
{settings}

Load it with

```python
{card.how_to_load}
```

and use it with

```python
{card.how_to_use}
```

{_whose_ids(card)}
"""


def _what_was_tried(card: Card) -> str:
    tried = card.notes.get("tried")
    if not tried:
        return ""
    rows = "\n".join(f"| {proposal} | {quality:.4f} |" for proposal, quality in tried.items())
    return f"\n| tried | NDCG@10 on valid |\n|---|---:|\n{rows}\n"


def _what_it_is(card: Card) -> str:
    size = f"{card.n_interactions:,} interactions in place of {card.n_source:,} (budget {card.budget:,})"
    if not card.inductive:
        return f"""{size}, over {card.n_users:,}
users and {card.n_items:,} items; {card.observed_share:.1%} observed, {card.pseudo_share:.1%} pseudo. A model knows the
users by id; with whole histories at hand, `model.fold_in(histories)` says more than what was kept of them."""
    whose = "synthetic users, made up" if card.synthetic else "users drawn from the source, renumbered"
    return f"""{size}: the histories of {card.n_users:,} {whose},
in place of {card.n_users_source:,} users, over the source's {card.n_items:,} items. The set is inductive: a model
learns the items from it, and real users are folded in from their own histories with `model.fold_in(histories)`."""


def _whose_ids(card: Card) -> str:
    if card.inductive:
        return """or read `interactions.parquet`: `item_id` is the source's own id, `user_id` names nobody outside this
set. Mask the items that a real user has already seen by that user's history."""
    return """or read `interactions.parquet`: columns `user_id`, `item_id` are the source's own ids. Mask the items that
a real user has already seen by the source's training set, not by this one."""
