"""What a killed process had not finished writing: temporary files and folders that nobody will rename any more.

A folder that was moved aside for a new one that never came is not among them: it goes back to its place.
"""

import os
import re
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from dconrec_core.atomic import REPLACED

TEMPORARY = re.compile(r"^\.(?P<name>.+)\.tmp-(?P<pid>\d+)")
"""As ``dconrec_core.atomic`` names them: ``.NAME.tmp-PID-RANDOM``, and what stands behind that."""
PLACES = (
    "data", "data/cache", "data/champions", "data/checkpoints", "data/input", "results", "results/timings", "mlflow",
    ".dvc/tmp", ".",
)  # fmt: skip
PIP = ".pip-"
"""As ``dconrec_core.data.download`` names folders of pip: ``.NAME.pip-RANDOM``; it holds ``.NAME.lock`` meanwhile."""
DOWNLOADS = f"data/cache/.*{PIP}*"


def leftovers(root: Path) -> list[Path]:
    """Temporary files and folders whose process has ended. A running one's are left alone, downloads included."""
    found = [path for place in PLACES for path in (root / place).glob(".*.tmp-*") if _is_left(path)]
    return sorted([*found, *(path for path in root.glob(DOWNLOADS) if not _is_fetched(path))])


def sweep(root: Path) -> list[Path]:
    """Remove them, but for a folder whose place is empty.

    Returns:
        What was removed.
    """
    removed = []
    for path in leftovers(root):
        if _goes_back(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _goes_back(path: Path) -> bool:
    match = TEMPORARY.match(path.name)
    if match is None or not path.name.endswith(REPLACED) or (place := path.with_name(match["name"])).exists():
        return False
    os.replace(path, place)
    return True


def _is_fetched(folder: Path) -> bool:
    lock = folder.with_name(f"{folder.name.rpartition(PIP)[0]}.lock")
    if not lock.is_file():
        return False
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _is_left(path: Path) -> bool:
    match = TEMPORARY.match(path.name)
    return match is not None and not _runs(int(match["pid"]))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
