"""What the tables of every page share: how a Markdown table is written, and what a model is called there."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks.results import Row
from tasks.summary import MODEL_LABELS


def title(model: str) -> str:
    """A model's name for people."""
    return MODEL_LABELS.get(model, model)


def distinct(rows: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """The values of a column, in the order they come in."""
    return list(dict.fromkeys(row[key] for row in rows))


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first ``words`` columns are text and whose others are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(heads) - words)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def transductive(rows: Sequence[Row]) -> list[Row]:
    """Rows of sets over the real users."""
    return [row for row in rows if not row.get("inductive")]


def spread(values: Sequence[float], write: str = "{:.4f}", scale: float = 1) -> str:
    """Mean ± standard deviation; the mean alone where there is one value, a dash where there is none."""
    if not values:
        return "–"
    mean = write.format(scale * fmean(values))
    return f"{mean} ± {write.format(scale * stdev(values))}" if len(values) > 1 else mean


def seconds(value: float) -> str:
    """Three digits, in words that people write."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def none_yet(file: str, command: str) -> str:
    """What stands in a table's place until its file is there."""
    return f"*No figures yet: `{command}` writes `benchmarks/results/{file}`.*"
