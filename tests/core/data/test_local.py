"""ML-1M, Gowalla and Ciao: files that a person puts into a folder, judged by what they hold."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from dconrec_core.data import DATASETS
from dconrec_core.data.ciao import Ciao
from dconrec_core.data.download import HttpSource
from dconrec_core.data.gowalla import Gowalla
from dconrec_core.data.local import FolderConfig, content_sha256
from dconrec_core.data.movielens import MovieLens1M
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from tests.core.data.test_movielens import packed

RATINGS_1M = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1193, 661, 1193], "rating": [5, 3, 4]})
TRAIN = pd.DataFrame({"user_id": [0, 0, 1], "item_id": [3, 1, 2]})
TEST = pd.DataFrame({"user_id": [0, 1, 1], "item_id": [0, 1, 4]})
BOTH = pd.concat([TRAIN.assign(part=0), TEST.assign(part=1)])
MOVIES = "661::Misérables, Les (1995)::Drama\n1193::Cuckoo's Nest: A (1975)::Drama\n"
PAIRS = pd.DataFrame({"user_id": [0, 0, 1], "item_id": [7, 7, 106796]})


def in_cache(cache: Path) -> HttpSource:
    cache.mkdir()
    content = {
        "ml-1m/ratings.dat": b"1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
        "ml-1m/movies.dat": MOVIES.encode("latin-1"),
    }
    return HttpSource("http://127.0.0.1:9/none", "b.zip", packed(cache / "b.zip", content))


def movielens(folder: Path, *sources: HttpSource) -> MovieLens1M:
    return MovieLens1M(FolderConfig(folder=folder), sources, content_sha256(RATINGS_1M))


def gowalla(folder: Path) -> Gowalla:
    return Gowalla(FolderConfig(folder=folder), content_sha256(BOTH))


def test_ml_1m_from_the_archive_has_times_and_titles(tmp_path: Path):
    table = movielens(tmp_path, in_cache(tmp_path / "cache")).load(tmp_path / "cache", RunOptions())
    pd.testing.assert_frame_equal(
        table.frame,
        RATINGS_1M.astype({"rating": "float64"}).assign(timestamp=[978300760, 978302109, 978298413]),
    )
    assert table.items is not None
    assert table.items["title"].tolist() == ["Misérables, Les (1995)", "Cuckoo's Nest: A (1975)"]
    assert table.rating_range == (1.0, 5.0)


def test_ml_1m_from_the_folder_has_the_archives_ids(tmp_path: Path):
    types = {"user_id": "int32", "item_id": "int32", "rating": "float32"}
    RATINGS_1M.assign(user_id=RATINGS_1M["user_id"] - 1).astype(types).to_parquet(tmp_path / "ml-1m.parquet")
    source = in_cache(tmp_path / "cache")
    local = movielens(tmp_path, source).load(tmp_path / "cache", RunOptions())
    fetched = movielens(tmp_path / "elsewhere", source).load(tmp_path / "cache", RunOptions())
    pd.testing.assert_frame_equal(local.frame, fetched.frame[["user_id", "item_id", "rating"]])
    assert (local.sha256, local.source) == (fetched.sha256, fetched.source)


def test_gowalla_from_tables_and_from_lists_is_the_same(tmp_path: Path):
    tables, lists = tmp_path / "tables", tmp_path / "lists"
    for folder in (tables, lists):
        folder.mkdir()
    TRAIN.to_parquet(tables / "gowalla-train.parquet")
    TEST.to_parquet(tables / "gowalla-test.parquet")
    (lists / "train.txt").write_text("0 3 1\n1 2\n2\n")  # a user without items is no row
    (lists / "test.txt").write_text("0 0\n1 1 4 \n")
    first, second = (gowalla(folder).load(tmp_path, RunOptions()) for folder in (tables, lists))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.frame["part"].tolist() == ["train"] * 3 + ["test"] * 3
    assert first.frame["item_id"].tolist() == [3, 1, 2, 0, 1, 4]


def test_ciao_keeps_its_repeated_rows_for_the_checks(tmp_path: Path):
    PAIRS.astype("int32").to_parquet(tmp_path / "ciao.parquet")
    table = Ciao(FolderConfig(folder=tmp_path), content_sha256(PAIRS)).load(tmp_path, RunOptions())
    pd.testing.assert_frame_equal(table.frame, PAIRS)


def test_content_is_the_same_in_any_order_of_rows():
    assert content_sha256(PAIRS) == content_sha256(PAIRS[::-1])
    rows = b"".join(number.to_bytes(4, "little") for number in (0, 7, 0, 7, 1, 106796))
    assert content_sha256(PAIRS) == hashlib.sha256(rows).hexdigest()
    assert content_sha256(PAIRS) != content_sha256(PAIRS.assign(item_id=[7, 7, 8]))


@pytest.mark.parametrize("name", ["gowalla", "ciao"])
def test_a_missing_file_says_where_to_get_it(tmp_path: Path, name: str):
    entry = DATASETS[name]
    with pytest.raises(DataError, match=r"does not exist; put .*https://.*dataset\.config\.folder"):
        entry.build(entry.configure("dataset.config", {"folder": str(tmp_path)})).load(tmp_path, RunOptions())


def test_other_rows_than_the_published_ones_are_refused(tmp_path: Path):
    PAIRS[:2].to_parquet(tmp_path / "ciao.parquet")
    with pytest.raises(DataError, match=r"ciao\.parquet holds other rows than .* use dataset\.name: file"):
        Ciao(FolderConfig(folder=tmp_path), content_sha256(PAIRS)).load(tmp_path, RunOptions())
    (PAIRS + 2**32).to_parquet(tmp_path / "ciao.parquet")  # the same as int32
    with pytest.raises(DataError, match=r"ciao\.parquet holds other rows than"):
        Ciao(FolderConfig(folder=tmp_path), content_sha256(PAIRS)).load(tmp_path, RunOptions())


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (PAIRS.rename(columns={"item_id": "item"}), "no column 'item_id'; did you mean 'item'"),
        (PAIRS.assign(item_id=[1.5, 2.0, 3.0]), "item_id must hold whole numbers"),
        (PAIRS.assign(item_id=["a", "b", "c"]), "item_id must hold whole numbers"),
        (PAIRS.assign(item_id=[1.0, None, 3.0]), "item_id must hold whole numbers"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, frame: pd.DataFrame, message: str):
    frame.to_parquet(tmp_path / "ciao.parquet")
    with pytest.raises(DataError, match=message):
        Ciao(FolderConfig(folder=tmp_path)).load(tmp_path, RunOptions())


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "ciao.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"ciao\.parquet is not a readable Parquet file"):
        Ciao(FolderConfig(folder=tmp_path)).load(tmp_path, RunOptions())
    (tmp_path / "train.txt").write_text("0 1 2\n1 x\n")
    with pytest.raises(DataError, match=r"train\.txt line 2 is not a user and items"):
        gowalla(tmp_path).load(tmp_path, RunOptions())
    (tmp_path / "train.txt").write_text("0 1 2\n\n")
    with pytest.raises(DataError, match=r"train\.txt line 2 is not a user and items"):
        gowalla(tmp_path).load(tmp_path, RunOptions())
