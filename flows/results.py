"""The small table at the end: what was trained on what, how good it is and what it saves."""

from collections.abc import Sequence

from tasks.outputs import read_json
from tasks.result_table import HEADER, NUMBERS_FROM
from tasks.summary import TIMED_STAGES, Result, summarise
from tasks.workspace import Workspace


def read_results(files: Workspace) -> list[Result]:
    """The results of the last evaluation."""
    timings = {stage: read_json(files.timing(stage), optional=True) for stage in TIMED_STAGES}
    return summarise(read_json(files.evaluation), timings)


def draw(rows: Sequence[Sequence[str]]) -> str:
    """The table as text: words to the left, numbers to the right, a line between models."""
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        words, numbers = cells[:NUMBERS_FROM], cells[NUMBERS_FROM:]
        padded = [word.ljust(width) for word, width in zip(words, widths, strict=False)]
        padded += [number.rjust(width) for number, width in zip(numbers, widths[NUMBERS_FROM:], strict=True)]
        return "  ".join(padded).rstrip()

    lines, model = [line(HEADER), "─" * (sum(widths) + 2 * (len(widths) - 1))], rows[0][1] if rows else ""
    for row in rows:
        if row[1] != model:
            model = row[1]
            lines.append("")
        lines.append(line(row))
    return "\n".join(lines)
