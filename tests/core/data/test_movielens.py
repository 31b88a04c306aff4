"""MovieLens 100K: two sources, one table."""

import hashlib
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dconrec_core.data import DATASETS, RawTable, movielens
from dconrec_core.data.download import HttpSource, WheelSource, file_sha256
from dconrec_core.data.movielens import ARCHIVE, WHEEL, MovieLens100K, MovieLensConfig
from dconrec_core.data.prepare import prepare
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions

RATINGS = b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n"
U_ITEM = (
    "242|Kolya (1996)|24-Jan-1997||url|0\n"
    "267|unknown||||1\n"
    "302|Misérables, Les (1995) |10-Oct-1997||url|0\n"
    "1412|Land Before Time III: The Time of the Great Giving (1995) (V)|01-Jan-1995||url|0\n"
)
INTER_ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "242\tKolya\t1996\tComedy\n"
    "267\tunkonwn\tunkonwn\tunknown\n"
    "302\tMisérables, Les\t1995\tDrama\n"
    "1412\tLand Before Time III: The Time of the Great Giving (1995)\tV\tAnimation\n"
)


def packed(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file_sha256(path)


def archive(cache: Path, ratings: bytes = RATINGS) -> HttpSource:
    cache.mkdir()
    content = {"ml-100k/u.data": ratings, "ml-100k/u.item": U_ITEM.encode("latin-1")}
    return HttpSource("http://127.0.0.1:9/none", "a.zip", packed(cache / "a.zip", content))


def wheel(cache: Path) -> WheelSource:
    cache.mkdir()
    folder = "recbole/dataset_example/ml-100k/ml-100k"
    header = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    content = {f"{folder}.inter": header + RATINGS, f"{folder}.item": INTER_ITEM.encode()}
    return WheelSource("none==1", "w.whl", packed(cache / "w.whl", content))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens, "RATINGS_SHA256", hashlib.sha256(RATINGS).hexdigest())


def load(cache: Path, source: HttpSource | WheelSource) -> RawTable:
    return MovieLens100K(MovieLensConfig(), (source,)).load(cache, RunOptions())


@pytest.mark.usefixtures("small")
def test_both_sources_give_the_same_table(tmp_path: Path):
    first = load(tmp_path / "a", archive(tmp_path / "a"))
    second = load(tmp_path / "w", wheel(tmp_path / "w"))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.items is not None
    assert second.items is not None
    pd.testing.assert_frame_equal(first.items, second.items)
    assert (first.source, first.sha256) == (second.source, second.sha256)
    assert first.items["title"].tolist() == [
        "Kolya (1996)",
        "unknown",
        "Misérables, Les (1995)",
        "Land Before Time III: The Time of the Great Giving (1995) (V)",
    ]
    assert first.frame["user_id"].tolist() == [196, 186, 22]
    assert first.rating_range == (1, 5)


@pytest.mark.usefixtures("small")
def test_other_ratings_than_the_published_ones_are_refused(tmp_path: Path):
    source = archive(tmp_path / "a", RATINGS.replace(b"\t3\t", b"\t4\t"))
    with pytest.raises(DataError, match=r"a\.zip holds other ratings .*; delete it and run again"):
        load(tmp_path / "a", source)


def test_nothing_can_be_set():
    with pytest.raises(ConfigError, match=r"dataset\.config\.path is not a setting"):
        DATASETS["ml-100k"].configure("dataset.config", {"path": "x"})


def test_the_real_one(root: Path, tmp_path: Path):
    """From the project's cache where it is there; else by the network, where there is one."""
    kept = root / "data/cache"
    cached = any((kept / source.name).is_file() for source in (ARCHIVE, WHEEL))
    try:
        table = MovieLens100K(MovieLensConfig()).load(kept if cached else tmp_path, RunOptions())
    except DataError as error:
        pytest.skip(f"no source of ml-100k answers here: {error}")
    assert table.frame.shape == (100_000, 4)
    assert table.items is not None
    assert table.items["title"][0] == "Toy Story (1995)"
    assert len(table.items) == 1682
    prepared = prepare(table.frame, table.items, threshold=3)
    interactions = prepared.interactions
    assert (len(interactions), interactions.n_users, interactions.n_items) == (82_520, 943, 1_574)
    assert prepared.items["title"].notna().all()
