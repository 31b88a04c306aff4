"""Results files of the benchmarks: every published figure comes from ``benchmarks/results/NAME.json``."""

from tasks import results_file
from tasks.results_file import ROOT, Row, core_fingerprint, peak_rss_mb, read_rows

__all__ = ["FOLDER", "ROOT", "Results", "Row", "core_fingerprint", "peak_rss_mb", "read_rows"]

FOLDER = ROOT / "benchmarks" / "results"


class Results(results_file.Results):
    """See ``tasks.results_file.Results``."""

    @classmethod
    def named(
        cls, name: str, command: str, apart_from: tuple[str, ...] = (), identity: tuple[str, ...] = ()
    ) -> "Results":
        """``benchmarks/results/NAME.json``."""
        return cls(FOLDER / f"{name}.json", command, apart_from, identity)
