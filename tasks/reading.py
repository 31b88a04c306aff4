"""Files from outside that a library gives up on in its own words: said as ours, in one line."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from dconrec_core.errors import DataError

UNREADABLE = (UnicodeError, csv.Error, pa.ArrowException, NotImplementedError, OverflowError)
"""What readers of text, tables and archives raise about bytes that they cannot make sense of; not what a bug raises."""


@contextmanager
def readable(what: str, way_out: str, *others: type[Exception]) -> Iterator[None]:
    """Read in the block.

    Args:
        what: What is read, for the message.
        way_out: What a person can do.
        others: Further exceptions that say no more than that it cannot be read.

    Raises:
        DataError: It cannot be read.
    """
    try:
        yield
    except (*UNREADABLE, *others) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{what} cannot be read: {reason}; {way_out}") from error
