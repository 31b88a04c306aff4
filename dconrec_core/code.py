"""What code this is, by the content of the core's sources."""

import hashlib
from functools import cache
from pathlib import Path

CORE = Path(__file__).parent
NOT_IN_A_TRAINING = ("condensation", "data")
"""Folders that what a training makes of given interactions does not depend on."""


def core_fingerprint(*apart_from: str) -> str:
    """The commit of ``dconrec_core``, by content: equal before and after it is committed, and no two codes share it.

    Args:
        apart_from: Folders and files of it that are left out.
    """
    digest = hashlib.sha256()
    for path in sorted(CORE.rglob("*.py")):
        if any(path.relative_to(CORE).is_relative_to(part) for part in apart_from):
            continue
        content = path.read_bytes()
        digest.update(f"{path.relative_to(CORE).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


@cache
def training_code() -> str:
    """The code that trains and measures models; read once, as a process goes on with what it has imported."""
    return core_fingerprint(*NOT_IN_A_TRAINING)
