"""The notes of attempts to tell MLflow something: tried again, one goes on with its own runs.

What is told lies in files on disk and so waits there as long as no server answers. The note says which attempt carries
the runs that exist already, so that the next try fills those and leaves nothing twice, wherever the last one was cut
off: after its last word to MLflow, too, but before DVC knew of it. That holds while the next try is to tell the same;
where it is not, since a setting was edited or something committed meanwhile, the runs of the last one are ended.

Copies of the project (``dvc exp run --temp``, ``backfill``) tell the store of the checkout they are of, so several may
be at it at once. A process holds a lock beside its note until it ends, however that is, and only attempts whose lock is
free are gone on with or ended.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from dconrec_core.atomic import write_json

TAG = "dconrec.attempt"
_held: dict[Path, FileLock] = {}
"""Locks of this process, by note."""


@dataclass(frozen=True)
class Attempt:
    """One attempt, named by a tag that all of its runs carry.

    Args:
        id: Value of the tag.
        resumed: Whether an earlier process began it.
    """

    id: str
    resumed: bool

    @classmethod
    def begin(cls, folder: Path, experiment: str, identity: str, end: Callable[[str], None]) -> "Attempt":
        """An attempt that was cut off, if it was to tell the same; else a new one, noted before anything is sent.

        The caller holds a lock of the folder, so that no two processes begin at once.

        Args:
            folder: Where the notes are, ``attempt-EXPERIMENT-ID.json``.
            experiment: Its id.
            identity: Equal for equal content and store.
            end: Called with the id of an attempt that nobody will go on with, before its note is removed.
        """
        found = None
        for note in sorted(folder.glob(f"attempt-{experiment}-*.json")):
            if not _take(note):
                continue
            attempt = note.stem.rpartition("-")[2]
            if found is None and _identity(note) == identity:
                found = cls(attempt, resumed=True)
            else:
                end(attempt)
                _remove(note)
        if found is None:
            found = cls(uuid.uuid4().hex, resumed=False)
            note = folder / f"attempt-{experiment}-{found.id}.json"
            write_json(note, {"identity": identity})
            _take(note)
        return found


def _take(note: Path) -> bool:
    """Hold a note until this process ends; False where another one does."""
    if note in _held:
        return True
    lock = FileLock(note.with_suffix(".lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _held[note] = lock
    return True


def _remove(note: Path) -> None:
    """The lock first: one that is left behind would never be found."""
    lock = _held.pop(note)
    Path(lock.lock_file).unlink()
    lock.release()
    note.unlink()


def _identity(note: Path) -> str | None:
    """None for a note that cannot be read."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("identity") if isinstance(content, dict) else None
