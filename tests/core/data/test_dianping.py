"""Dianping: ``user|item|rating|date`` lines without a header, from a folder."""

from pathlib import Path

import pandas as pd
import pytest

from dconrec_core.data import RawTable
from dconrec_core.data.dianping import Dianping
from dconrec_core.data.local import FolderConfig
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions

RATINGS = b"0|17|4|2009-05-12\n0|3|0|2013-11-05\n12|17|5|2003-04-01\n"


def load(folder: Path, ratings: bytes | None = None, n_ratings: int = 3) -> RawTable:
    if ratings is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rating.txt").write_bytes(ratings)
    return Dianping(FolderConfig(folder=folder), n_ratings).load(folder, RunOptions())


def test_a_line_is_a_rating_with_its_day(tmp_path: Path):
    table = load(tmp_path, RATINGS)
    expected = {"user_id": [0, 0, 12], "item_id": [17, 3, 17], "rating": [4.0, 0.0, 5.0]}
    days = pd.to_datetime(["2009-05-12", "2013-11-05", "2003-04-01"]).astype("datetime64[s]").astype("int64")
    pd.testing.assert_frame_equal(table.frame, pd.DataFrame(expected).assign(timestamp=days))
    assert table.items is None
    assert table.rating_range == (0.0, 5.0)


def test_unpacked_or_on_its_own_it_is_the_same(tmp_path: Path):
    first = load(tmp_path / "a", RATINGS)
    load(tmp_path / "b/Dianping_SocialRec_2015", RATINGS.replace(b"\n", b"\r\n"))
    second = load(tmp_path / "b")
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert (first.source, first.sha256) == (second.source, second.sha256)
    assert load(tmp_path / "c", RATINGS.replace(b"|4|", b"|3|")).sha256 != first.sha256


def test_a_missing_file_says_where_to_get_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"rating\.txt does not exist; unpack https://.*dataset\.config\.folder"):
        load(tmp_path)
    (tmp_path / "Dianping_SocialRec_2015").mkdir()
    with pytest.raises(DataError, match=r"Dianping_SocialRec_2015/rating\.txt does not exist; unpack https://"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"7|8|3", r"rating\.txt line 4 has 3 fields, not 4 \(user_id, item_id, rating, timestamp\): '7\|8\|3'"),
        (
            b"7|8|3|05/12/2009",
            r"line 4: timestamp is '05/12/2009', not a date such as .*dataset\.name: file",
        ),
        (b"7|x|3|2009-05-12", r"line 4: item_id is 'x', not a whole number"),
        (b"7|8||2009-05-12", r"line 4: rating is '', not a number"),
        (b"7\t8\t3\t2009-05-12", r"line 4 has 1 fields, not 4"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, message: str):
    with pytest.raises(DataError, match=message):
        load(tmp_path, RATINGS + line + b"\n")


def test_fewer_rows_than_published_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"rating\.txt holds 3 rows, the published dataset 2149675; .*file"):
        load(tmp_path, RATINGS, n_ratings=2_149_675)
