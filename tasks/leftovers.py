"""What a killed process had not finished writing: temporary files and folders that nobody will rename any more."""

import os
import re
import shutil
from pathlib import Path

TEMPORARY = re.compile(r"^\..+\.tmp-(\d+)")
"""As ``dconrec_core.atomic`` names them: ``.NAME.tmp-PID``, and what stands behind that."""
PLACES = ("data", "data/cache", "data/checkpoints", "results", "results/timings", "mlflow", ".dvc/tmp", ".")
DOWNLOADS = "data/cache/.pip-*"


def leftovers(root: Path) -> list[Path]:
    """Temporary files and folders whose process has ended. A running one's are left alone."""
    found = [path for place in PLACES for path in (root / place).glob(".*.tmp-*") if _is_left(path)]
    return sorted([*found, *root.glob(DOWNLOADS)])


def sweep(root: Path) -> list[Path]:
    """Remove them; whoever calls it holds the folder, so that no download is under way.

    Returns:
        What was removed.
    """
    found = leftovers(root)
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return found


def _is_left(path: Path) -> bool:
    match = TEMPORARY.match(path.name)
    return match is not None and not _runs(int(match.group(1)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
