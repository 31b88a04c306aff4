"""What may go, and how much room it takes: the same question to DVC's cache, MLflow and the checkpoints."""

import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.finished import PATTERN

FINISHED_SECONDS = 7 * 24 * 3600
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Unneeded:
    """One kind of thing that nothing kept needs.

    Args:
        what: In words, plural.
        count: How many.
        size: Bytes that removing them frees on this disk.
        remove: Does it.
    """

    what: str
    count: int
    size: int
    remove: Callable[[], None]


def old_checkpoints(folder: Path, keep: int) -> Unneeded:
    """All but the newest ``keep`` checkpoints of trainings that were cut off.

    Trainings that a stage had finished before it was cut off are small and hours of work: they stay for a week.
    """
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    finished = (path for path in folder.glob(PATTERN) if time.time() - path.stat().st_mtime > FINISHED_SECONDS)
    return of_paths("checkpoints", [*files[keep:], *finished])


def old_champions(folder: Path, keep: int, start: str | None) -> Unneeded:
    """All but the newest ``keep`` sets that were fetched to go on from, and ``start``, which params.yaml names."""
    sets = [path for path in folder.glob("*") if SHA256.fullmatch(path.name) and path.is_dir()]
    newest_first = sorted(sets, key=lambda path: path.stat().st_mtime, reverse=True)
    return of_paths("fetched champions", [path for path in newest_first[keep:] if path.name != start])


def of_paths(what: str, paths: Iterable[Path]) -> Unneeded:
    """Files and folders."""
    found = list(paths)

    def remove() -> None:
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return Unneeded(what, len(found), sum(map(size_of, found)), remove)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 where there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
