"""The results as a table of text: what was trained on what, how good it is and what it saves."""

from collections.abc import Sequence

from tasks.summary import POPULARITY_RANKER, Result

HEADER = (
    "training set",
    "model",
    "inductive",
    "interactions",
    "NDCG@10",
    "Recall@20",
    "% of full",
    "train s",
    "speed-up",
)
NUMBERS_FROM = HEADER.index("interactions")
"""The column from which on cells are numbers."""
MOST_ROWS = 40
"""Of a description in MLflow, which takes 8,000 characters."""


def table(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """One row of text a result, in the columns of ``HEADER``; a dash where nothing was measured."""
    return [
        (
            result.label,
            "" if result.model == POPULARITY_RANKER else result.model,
            "yes" if result.inductive else "no",
            f"{result.n_interactions:,}",
            f"{result.ndcg.mean:.4f}" if result.ndcg else "–",
            f"{result.recall.mean:.4f}" if result.recall else "–",
            f"{result.quality.mean:.1%}" if result.quality else "–",
            f"{result.train_seconds:.2f}" if result.train_seconds is not None else "–",
            f"{result.speed_up:.1f} ×" if result.speed_up is not None else "–",
        )
        for result in results
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows of ``table`` for a page that shows Markdown, the first ``MOST_ROWS`` of them."""
    rules = ["---"] * NUMBERS_FROM + ["---:"] * (len(HEADER) - NUMBERS_FROM)
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEADER, rules, *rows[:MOST_ROWS])]
    left_out = len(rows) - MOST_ROWS
    return "\n".join(lines) + (f"\n\nand {left_out} more in report.html" if left_out > 0 else "")
