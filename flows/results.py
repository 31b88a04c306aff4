"""The small table at the end: what was trained on what, how good it is and what it saves."""

from collections.abc import Sequence

from tasks.outputs import read_json
from tasks.summary import POPULARITY_RANKER, TIMED_STAGES, Result, summarise
from tasks.workspace import Workspace

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


def read_results(files: Workspace) -> list[Result]:
    """The results of the last evaluation."""
    timings = {stage: read_json(files.timing(stage), optional=True) for stage in TIMED_STAGES}
    return summarise(read_json(files.evaluation), timings)


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


def draw(rows: Sequence[Sequence[str]]) -> str:
    """The table as text: words to the left, numbers to the right, a line between models."""
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    words = 3  # the first columns

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(w) if i < words else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    lines, model = [line(HEADER), "─" * (sum(widths) + 2 * (len(widths) - 1))], rows[0][1] if rows else ""
    for row in rows:
        if row[1] != model:
            model = row[1]
            lines.append("")
        lines.append(line(row))
    return "\n".join(lines)
