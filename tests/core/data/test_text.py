"""Delimited text: quoted fields, and the line of whatever is wrong."""

import io

import pyarrow as pa
import pytest

from dconrec_core.data.text import read_delimited
from dconrec_core.errors import DataError

COLUMNS = {"item": pa.int64(), "title": pa.string(), "rating": pa.float64(), "day": pa.timestamp("s")}
HEADER = b"item,title,genre,rating,day\n"


def lines(content: bytes, *, header: bool = True, separator: str = ",") -> list[tuple[int, str, float, str]]:
    frame = read_delimited(io.BytesIO(content), "some.csv", COLUMNS, "get another", header=header, separator=separator)
    assert frame.dtypes.astype("str").tolist()[0::2] == ["int64", "float64"]
    return [(*row[:3], str(row[3].date())) for row in frame.itertuples(index=False)]


def test_quoted_fields_and_other_columns():
    got = lines(HEADER + b'7,"a, ""b"" \xc3\xa9",x,0.5,2009-05-12\n8,c,"y,z",4,2010-01-01 12:30:00')
    assert got == [(7, 'a, "b" é', 0.5, "2009-05-12"), (8, "c", 4.0, "2010-01-01")]


def test_lines_may_end_as_on_windows_and_begin_with_a_byte_order_mark():
    plain = HEADER + b"7,a,x,0.5,2009-05-12\n"
    assert lines(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")) == lines(plain)


def test_without_a_header_quotes_are_text():
    assert lines(b'7|"a|0.5|2009-05-12\n', header=False, separator="|") == [(7, '"a', 0.5, "2009-05-12")]


GOOD = b"7,a,x,0.5,2009-05-12\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (b"7,a,x,0.5\n", r"some\.csv line 3 has 4 fields, not 5 \(item, title, genre, rating, day\): '7,a,x,0.5'"),
        (b"\n" + GOOD, r"line 3: item is '', not a whole number"),
        (b"7.5,a,x,1,2009-05-12\n", r"some\.csv line 3: item is '7\.5', not a whole number; get another"),
        (b",a,x,1,2009-05-12\n", r"line 3: item is '', not a whole number"),
        (b"7,a,x,good,2009-05-12\n", r"line 3: rating is 'good', not a number"),
        (b"7,a,x,1,12.5.2009\n", r"line 3: day is '12\.5\.2009', not a date such as 2009-05-12"),
        (b"7,\xff,x,1,2009-05-12\n", r"line 3: title is not UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(rows: bytes, message: str):
    with pytest.raises(DataError, match=message):
        lines(HEADER + GOOD + rows)


def test_lines_are_counted_beyond_the_first_block():
    many = HEADER + GOOD * 100_000
    with pytest.raises(DataError, match=r"line 100002: rating is '\?'"):
        lines(many + b"7,a,x,?,2009-05-12\n")
    with pytest.raises(DataError, match=r"line 100002 has 2 fields"):
        lines(many + b"7,a\n")


def test_without_a_header_the_first_line_is_line_1():
    with pytest.raises(DataError, match=r"line 1: item is 'item', not a whole number"):
        lines(b"item|title|rating|day\n", header=False, separator="|")


def test_a_missing_column_and_an_empty_file():
    with pytest.raises(DataError, match=r"some\.csv has no column 'rating'; did you mean 'ratings'"):
        lines(HEADER.replace(b"rating", b"ratings") + GOOD)
    with pytest.raises(DataError, match=r"some\.csv has no column 'item'"):
        lines(b"")
    with pytest.raises(DataError, match=r"some\.csv has no rows; get another"):
        lines(HEADER)
