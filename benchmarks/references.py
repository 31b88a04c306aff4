"""Full data, which every condensed set is compared with, in ``benchmarks/results/full.json``."""

from collections.abc import Callable

from benchmarks.results import Results
from tasks import comparison
from tasks.comparison import as_trained

__all__ = ["References", "as_trained"]

COMMAND = "make bench-quality"


class References(comparison.References):
    """See ``tasks.comparison.References``."""

    def __init__(self, results: Callable[[tuple[str, ...]], Results] | None = None) -> None:
        super().__init__(results or (lambda apart_from: Results.named("full", COMMAND, apart_from)))
