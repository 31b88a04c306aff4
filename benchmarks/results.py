"""Results files of the benchmarks: every published figure comes from ``benchmarks/results/NAME.json``."""

import hashlib

from tasks import results_file
from tasks.results_file import ROOT, Row, core_fingerprint, read_rows

__all__ = ["FOLDER", "ROOT", "Results", "Row", "core_fingerprint", "drivers_fingerprint", "read_rows"]

FOLDER = ROOT / "benchmarks" / "results"


class Results(results_file.Results):
    """See ``tasks.results_file.Results``."""

    @classmethod
    def named(
        cls, name: str, command: str, apart_from: tuple[str, ...] = (), identity: tuple[str, ...] = ()
    ) -> "Results":
        """``benchmarks/results/NAME.json``."""
        return cls(FOLDER / f"{name}.json", command, apart_from, identity)


def drivers_fingerprint() -> str:
    """Of flows and tasks, by content: what runs the core."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in ("flows", "tasks") for path in (ROOT / folder).rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
