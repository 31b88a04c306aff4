"""The small table at the end: what was trained on what, how good it is and what it saves."""

from collections.abc import Sequence

from flows.console import columns
from tasks.outputs import read_json
from tasks.result_table import HEADER, NUMBERS_FROM
from tasks.summary import TIMED_STAGES, Result, summarise
from tasks.workspace import Workspace


def read_results(files: Workspace) -> list[Result]:
    """The results of the last evaluation."""
    timings = {stage: read_json(files.timing(stage), optional=True) for stage in TIMED_STAGES}
    return summarise(read_json(files.evaluation), timings)


def draw(rows: Sequence[Sequence[str]]) -> str:
    """The table as text, with a line between models."""
    header, *lines = columns([HEADER, *rows], NUMBERS_FROM)
    for place in range(len(rows) - 1, 0, -1):
        if rows[place][1] != rows[place - 1][1]:
            lines.insert(place, "")
    return "\n".join([header, "─" * len(header), *lines])
