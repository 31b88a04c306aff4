"""Delimited text of a published format: read in one pass, and what breaks the format is named by its line."""

import csv
import re
from collections.abc import Mapping
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc

from dconrec_core.data.raw import require_columns
from dconrec_core.errors import DataError

KINDS = {pa.int64(): "a whole number", pa.float64(): "a number", pa.timestamp("s"): "a date such as 2009-05-12"}
BAD_VALUE = r"In CSV column #(\d+): Row #(\d+): CSV conversion error to "
NOT_OF_ITS_KIND = re.compile(rf"{BAD_VALUE}[^:]*: invalid value '(.*)'", re.S)
NOT_UTF8 = re.compile(rf"{BAD_VALUE}string: invalid UTF8 data")
WRONG_LENGTH = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): ?(.*)", re.S)


def read_delimited(
    file: IO[bytes],
    where: str,
    columns: Mapping[str, pa.DataType],
    way_out: str,
    *,
    separator: str = ",",
    header: bool = True,
) -> pd.DataFrame:
    """The ``columns`` of a file; an empty field is none of the values that its column can have.

    Args:
        file: At its beginning; it need not be seekable, so it may be a member of an archive.
        where: What to call it in a message.
        columns: Name to type, in the file's order where it has no ``header``.
        way_out: What to do about a file of another format, for a message.
        separator: Between two fields. With a header, fields that hold one are in double quotes; without, none is.
        header: Whether the first line names the columns; others than ``columns`` are passed over then.

    Returns:
        One row a line, in the file's order.

    Raises:
        DataError: A column is missing, or a line is not of the format; the message names it.
    """
    names = list(columns)
    if header:
        line = file.readline().decode("utf-8-sig", errors="replace").strip("\r\n")
        names = next(csv.reader([line], delimiter=separator), [])
        require_columns(where, names, columns)
    try:
        table = pc.read_csv(
            file,
            pc.ReadOptions(use_threads=False, column_names=names),  # with threads it does not know a line's number
            pc.ParseOptions(
                delimiter=separator,
                quote_char='"' if header else False,
                ignore_empty_lines=False,  # an empty line would shift the numbers of those that follow
            ),
            pc.ConvertOptions(
                include_columns=list(columns), column_types=dict(columns), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} {_problem(str(error), names, columns, int(header))}; {way_out}") from None
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _problem(complaint: str, names: list[str], columns: Mapping[str, pa.DataType], above: int) -> str:
    """What Arrow complains of, by line and column; ``above`` lines came before the first row."""
    if found := NOT_OF_ITS_KIND.match(complaint):
        name = names[int(found[1])]
        return f"line {int(found[2]) + above}: {name} is {found[3][:60]!r}, not {KINDS[columns[name]]}"
    if found := NOT_UTF8.match(complaint):
        return f"line {int(found[2]) + above}: {names[int(found[1])]} is not UTF-8 text"
    if found := WRONG_LENGTH.match(complaint):
        line, wanted, there, text = int(found[1]) + above, found[2], found[3], found[4]
        return f"line {line} has {there} fields, not {wanted} ({', '.join(names)}): {text[:60]!r}"
    return "has no rows" if "Empty CSV" in complaint else f"cannot be read: {complaint.splitlines()[0][:160]}"
