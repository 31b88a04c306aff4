"""The note of the last attempt to tell MLflow something: tried again, it goes on with its own runs.

What is told lies in files on disk and so waits there as long as no server answers. The note says which attempt carries
the runs that exist already, so that the next try fills those and leaves nothing twice, wherever the last one was cut
off: after its last word to MLflow, too, but before DVC knew of it. That holds while the next try is to tell the same;
where it is not, since a setting was edited or something committed meanwhile, the runs of the last one are ended.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dconrec_core.atomic import write_json

TAG = "dconrec.attempt"


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
    def begin(cls, note: Path, identity: str, end: Callable[[str], None]) -> "Attempt":
        """The last attempt, if it was to tell the same; else a new one, noted before anything is sent.

        Args:
            note: The file that says so; one an experiment, so that none overwrites another's.
            identity: Equal for equal content and store.
            end: Called with the id of a last attempt that nobody will go on with, before the note forgets it.
        """
        found = _read(note)
        if found.get("id"):
            if found.get("identity") == identity:
                return cls(found["id"], resumed=True)
            end(found["id"])
        attempt = cls(uuid.uuid4().hex, resumed=False)
        write_json(note, {"identity": identity, "id": attempt.id})
        return attempt


def _read(note: Path) -> dict[str, str]:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
