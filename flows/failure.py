"""What a user sees when something fails that is not a bug: one line that says what, where and what to do."""

import errno
import os
from collections.abc import Iterator

from dconrec_core.errors import DConRecError

USER_ERRORS = (DConRecError, OSError)
"""The user's or the machine's fault; everything else is a bug and keeps its traceback."""

INTERRUPTED = "interrupted; run again to go on from the last finished stage"

WAYS_OUT = {
    errno.ENOSPC: "free some space and run again; finished stages are kept",
    errno.EDQUOT: "free some of your quota and run again; finished stages are kept",
    errno.EACCES: "make it writable for you, or work in a copy of the project that is",
    errno.EPERM: "make it writable for you, or work in a copy of the project that is",
    errno.EROFS: "work in a copy of the project on a disk that can be written",
    errno.ENOENT: "check the path",
}
LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors of the operating system that another try meets again."""


def one_line(error: BaseException) -> str:
    """The error as one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        way_out = WAYS_OUT.get(error.errno or 0)
        return f"{where}{_lower(error.strerror)}" + (f"; {way_out}" if way_out else "")
    return " ".join(str(error).split()) or type(error).__name__


def may_pass(error: BaseException) -> bool:
    """Whether another try can help: a network or a server that did not answer is behind it, not the input."""
    return any(
        isinstance(cause, OSError) and not isinstance(cause, LASTING) and cause.errno not in WAYS_OUT
        for cause in _causes(error)
    )


def unreachable_prefect(error: BaseException) -> str | None:
    """One line if Prefect's server is what did not answer, or refused; its client has no error of its own for that."""
    from httpx import HTTPError  # whoever raised it has imported it

    for cause in _causes(error):
        if isinstance(cause, HTTPError):
            where = os.environ.get("PREFECT_API_URL", "an address of its own")
            way_out = "start it (make serve), or unset PREFECT_API_URL to do without"
            return f"Prefect at {where}: {one_line(cause)}; {way_out}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
