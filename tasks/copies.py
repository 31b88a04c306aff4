"""Copies of the checkout that ``dvc exp run --temp`` works in, and leaves behind where it is killed."""

import json
from collections.abc import Iterator
from pathlib import Path

from tasks.retention import Unneeded, of_paths

COPIES, NOTES = Path(".dvc/tmp/exps/standalone"), Path(".dvc/tmp/exps/run")
"""Where the copies are, and where DVC notes what runs in them and elsewhere."""
PROCESSES = Path("/proc")
COMMAND = {b"exp", b"--temp"}
"""Words of the command that makes a copy; while it does so, nothing works inside of the copy yet."""


def abandoned_copies(root: Path) -> Unneeded:
    """Those in which no process works; none where one may just be made, or where processes cannot be asked."""
    copies = [path for path in (root / COPIES).glob("*") if path.is_dir()]
    return of_paths("copies that a killed backfill left", copies if copies and not _in_use(root.resolve()) else [])


def notes_of_copies(root: Path) -> Unneeded:
    """What DVC noted of copies that are gone or abandoned; a run in the checkout itself has a note there too."""
    notes = [note.parent for note in (root / NOTES).glob("*/*.run") if _is_of_a_copy(note, root.resolve())]
    return of_paths("notes of copies that are gone", notes if notes and not _in_use(root.resolve()) else [])


def _is_of_a_copy(note: Path, root: Path) -> bool:
    try:
        place = Path(json.loads(note.read_text(encoding="utf-8"))["root_dir"])
    except (OSError, ValueError, KeyError, TypeError):  # not DVC's as we know it
        return False
    return place.is_relative_to(root / COPIES)


def _in_use(root: Path) -> bool:
    if not PROCESSES.is_dir():
        return True
    copies = root / COPIES
    return any(
        place.is_relative_to(copies) or (place.is_relative_to(root) and words >= COMMAND)
        for place, words in _processes()
    )


def _processes() -> Iterator[tuple[Path, set[bytes]]]:
    """Where each living process works, and the words of its command; those of other users apart."""
    for entry in PROCESSES.glob("[0-9]*"):
        try:
            yield (entry / "cwd").resolve(strict=True), set((entry / "cmdline").read_bytes().split(b"\0"))
        except OSError:  # it has ended, or is another user's
            continue
