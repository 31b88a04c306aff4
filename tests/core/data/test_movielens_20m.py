"""MovieLens 20M: the archive and what unpacking it makes are one table."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dconrec_core.data import RawTable
from dconrec_core.data.download import HttpSource, file_sha256
from dconrec_core.data.local import FolderConfig
from dconrec_core.data.movielens_20m import ARCHIVE, MovieLens20M
from dconrec_core.data.prepare import prepare
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from tests.core.data.test_movielens import packed

RATINGS = b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,11,2.5,1112484676\n2,2,4.0,974820889\n"
MOVIES = (
    "movieId,title,genres\n"
    "2,Jumanji (1995),Adventure|Children|Fantasy\n"
    '11,"American President, The (1995)",Comedy|Drama|Romance\n'
    '73,"Misérables, Les (1995) ",Drama|War\n'
    '108,"""Great Performances"" Cats (1998)",Musical\n'
).encode()
TITLES = [
    "Jumanji (1995)",
    "American President, The (1995)",
    "Misérables, Les (1995)",
    '"Great Performances" Cats (1998)',
]
MEMBERS = {"ml-20m/ratings.csv": RATINGS, "ml-20m/movies.csv": MOVIES}


def unpacked(folder: Path, ratings: bytes = RATINGS, movies: bytes = MOVIES) -> Path:
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_bytes(ratings)
    (folder / "movies.csv").write_bytes(movies)
    return folder


def load(folder: Path, cache: Path, sha256: str = "0" * 64, n_ratings: int = 3) -> RawTable:
    source = HttpSource("http://127.0.0.1:9/none", "ml-20m.zip", sha256)
    return MovieLens20M(FolderConfig(folder=folder), (source,), n_ratings).load(cache, RunOptions())


def test_from_the_archive(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    sha256 = packed(tmp_path / "cache/ml-20m.zip", MEMBERS)
    table = load(tmp_path / "none", tmp_path / "cache", sha256)
    columns = {"user_id": [1, 1, 2], "item_id": [2, 11, 2], "rating": [3.5, 2.5, 4.0]}
    times = [1112486027, 1112484676, 974820889]
    pd.testing.assert_frame_equal(table.frame, pd.DataFrame(columns).assign(timestamp=times))
    assert table.items is not None
    assert table.items["item_id"].tolist() == [2, 11, 73, 108]
    assert table.items["title"].tolist() == TITLES
    assert table.rating_range == (0.5, 5.0)


def test_every_place_gives_the_same_table(tmp_path: Path):
    (tmp_path / "zip").mkdir()
    sha256 = packed(tmp_path / "zip/ml-20m.zip", MEMBERS)
    unpacked(tmp_path / "folder/ml-20m")
    unpacked(tmp_path / "itself")
    unpacked(tmp_path / "windows/ml-20m", *(text.replace(b"\n", b"\r\n") for text in (RATINGS, MOVIES)))
    first = load(tmp_path / "zip", tmp_path / "cache", sha256)
    assert not (tmp_path / "cache").exists()
    for place in ("folder", "itself", "windows"):
        other = load(tmp_path / place, tmp_path / "cache")
        pd.testing.assert_frame_equal(first.frame, other.frame)
        pd.testing.assert_frame_equal(first.items, other.items)
        assert (first.source, first.sha256) == (other.source, other.sha256)


def test_half_stars_are_judged_as_they_are(tmp_path: Path):
    table = load(unpacked(tmp_path / "itself"), tmp_path)
    prepared = prepare(table.frame, table.items, threshold=3)
    assert len(prepared.interactions) == 2
    assert prepared.items["title"].tolist() == ["Jumanji (1995)"]


def test_a_bad_line_is_named_with_its_place(tmp_path: Path):
    folder = unpacked(tmp_path / "itself", RATINGS + b"3,5,four,978300760\n")
    with pytest.raises(DataError, match=r"itself/ratings\.csv line 5: rating is 'four', not a number; .*ml-20m\.zip"):
        load(folder, tmp_path)
    (tmp_path / "cache").mkdir()
    sha256 = packed(tmp_path / "cache/ml-20m.zip", {**MEMBERS, "ml-20m/movies.csv": MOVIES + b"200,Lost\n"})
    with pytest.raises(DataError, match=r"ml-20m\.zip: ml-20m/movies\.csv line 6 has 2 fields, not 3"):
        load(tmp_path / "none", tmp_path / "cache", sha256)


def test_a_missing_file_is_named(tmp_path: Path):
    folder = unpacked(tmp_path / "data/ml-20m")
    (folder / "movies.csv").unlink()
    with pytest.raises(
        DataError, match=r"ml-20m/movies\.csv does not exist; unpack .*https://.*dataset\.config\.folder"
    ):
        load(tmp_path / "data", tmp_path / "cache")
    with pytest.raises(DataError, match=r"no source answered .*ml-20m\.zip"):
        load(tmp_path / "none", tmp_path / "cache")


def test_other_files_than_the_published_ones_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"ratings\.csv holds 3 rows, the published dataset 20000263; .*file"):
        MovieLens20M(FolderConfig(folder=unpacked(tmp_path / "itself"))).load(tmp_path, RunOptions())
    (tmp_path / "zip").mkdir()
    found = packed(tmp_path / "zip/ml-20m.zip", MEMBERS)
    with pytest.raises(DataError, match=rf"zip/ml-20m\.zip is not the published archive \(sha256 {found}, not 0+\)"):
        load(tmp_path / "zip", tmp_path / "cache")
    assert ARCHIVE.sha256 != found


def test_an_archive_that_leads_out_of_its_folder_writes_nothing(tmp_path: Path):
    cache = tmp_path / "inside/cache"
    cache.mkdir(parents=True)
    escaping = {"../../ml-20m/ratings.csv": RATINGS, "/ml-20m/movies.csv": MOVIES, "ml-20m/../ratings.csv": b"x"}
    sha256 = packed(cache / "ml-20m.zip", escaping)
    with pytest.raises(DataError, match=r"ml-20m\.zip holds no ml-20m/ratings\.csv"):
        load(tmp_path / "none", cache, sha256)
    with zipfile.ZipFile(cache / "ml-20m.zip", "a") as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    assert len(load(tmp_path / "none", cache, file_sha256(cache / "ml-20m.zip")).frame) == 3
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ml-20m.zip"]
