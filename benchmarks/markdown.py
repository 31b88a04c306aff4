"""What the tables of every page share: how a Markdown table is written, and what a model is called there."""

from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {
    "bprmf": "BPRMF",
    "lightgcn": "LightGCN",
    "ngcf": "NGCF",
    "xsimgcl": "XSimGCL",
    "ease": "EASE",
    "ridge": "ridge autoencoder",
    "graph-filter": "graph filter",
    "multvae": "MultVAE",
}


def title(model: str) -> str:
    """A model's name for people."""
    return TITLES.get(model, model)


def distinct(rows: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """The values of a column, in the order they come in."""
    return list(dict.fromkeys(row[key] for row in rows))


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first ``words`` columns are text and whose others are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(heads) - words)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))
