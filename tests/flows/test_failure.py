import errno
import urllib.error

import pytest

from dconrec_core.errors import DataError
from flows.failure import may_pass, one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("no column\n  'rating'"), "no column 'rating'"),
        (
            OSError(errno.ENOSPC, "No space left on device", "data/raw"),
            "data/raw: no space left on device; free some space and run again; finished stages are kept",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "results"),
            "results: permission denied; make it writable for you, or work in a copy of the project that is",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "data/raw"),
            "data/raw: read-only file system; work in a copy of the project on a disk that can be written",
        ),
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (OSError("plain words"), "plain words"),
        (OSError(), "OSError"),
    ],
)
def test_one_line(error, line):
    assert one_line(error) == line


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("no source answered"), False),
        (caused(DataError("no source answered"), urllib.error.URLError("timed out")), True),
        (caused(DataError("no source answered"), TimeoutError()), True),
        (caused(DataError("cannot read"), FileNotFoundError(errno.ENOENT, "No such file", "x")), False),
        (ConnectionError(), True),
        (PermissionError(errno.EACCES, "Permission denied", "x"), False),
        (OSError(errno.ENOSPC, "No space left on device", "x"), False),
    ],
)
def test_only_what_may_answer_the_next_time_is_tried_again(error, expected):
    assert may_pass(error) is expected
