"""Ids and numbers out of whatever a source holds."""

import pandas as pd
import pytest

from dconrec_core.data.raw import RawTable, as_ids, as_numbers
from dconrec_core.errors import DataError


@pytest.mark.parametrize(
    ("written", "dtype"),
    [
        (["1", "20", "-3"], "int64"),
        (["1", None, "3"], "Int64"),
        (["007", "8"], "str"),  # not the number 7
        (["1", "x2"], "str"),
        (["1.0", "2.0"], "str"),
        (["9" * 19, "1"], "str"),  # beyond int64
        (["1\u0662", "12"], "str"),  # a digit, but not one that int64 is written with
        ([None, None], "str"),
        ([], "str"),
    ],
)
def test_text_becomes_whole_numbers_only_where_nothing_is_lost(written: list[str | None], dtype: str):
    ids = as_ids(pd.Series(written, dtype="str"))
    assert str(ids.dtype) == dtype
    assert ids.astype("str").tolist() == pd.Series(written, dtype="str").tolist() or ids.isna().any()
    assert ids.isna().tolist() == [value is None for value in written]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pd.Series([1, 2], dtype="uint32"), "int64"),
        (pd.Series([1.0, None]), "Int64"),  # what pandas makes of whole numbers with a gap
        (pd.Series([1.5, 2.0]), "str"),
        (pd.Series([1, 2**63 - 1], dtype="uint64"), "int64"),
        (pd.Series([1, 2**63], dtype="uint64"), "str"),
        (pd.Series([1, None, 2**64 - 1], dtype="UInt64"), "str"),
        (pd.Series([1.0, 2.0**53 - 1]), "int64"),
        (pd.Series([1.0, 2.0**53]), "str"),  # or 2**53 + 1
        (pd.Series([True, False]), "str"),
        (pd.Series(["b", "a"], dtype="category"), "str"),
    ],
)
def test_typed_ids(values: pd.Series, dtype: str):
    assert str(as_ids(values).dtype) == dtype


def test_ids_stay_text_on_request():
    assert as_ids(pd.Series(["1", "-2"], dtype="str"), text=True).tolist() == ["1", "-2"]
    assert as_ids(pd.Series([1, -2]), text=True).tolist() == ["1", "-2"]


def test_numbers_only_where_every_value_is_one():
    assert as_numbers(pd.Series(["1", "2.5", None], dtype="str")).dtype == "float64"
    assert as_numbers(pd.Series([1, 2])).dtype == "float64"
    assert as_numbers(pd.Series(["1", "five"], dtype="str")).tolist() == ["1", "five"]


def test_table_without_a_needed_column_cannot_exist():
    with pytest.raises(
        DataError, match=r"here has no column 'user_id'; did you mean 'userid'\? valid names: item_id, userid"
    ):
        RawTable(pd.DataFrame({"userid": [1], "item_id": [1]}), None, None, "here", "0")
    with pytest.raises(DataError, match=r"here \(titles\) has no column 'title'"):
        RawTable(pd.DataFrame({"user_id": [1], "item_id": [1]}), pd.DataFrame({"item_id": [1]}), None, "here", "0")
