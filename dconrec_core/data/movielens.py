"""MovieLens 100K and 1M: GroupLens' archives, a second source of each, and checks that they hold the same ratings.

Harper and Konstan, The MovieLens Datasets: History and Context (doi:10.1145/2827872). The licence asks not to
redistribute the data, so it is fetched and never shipped.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dconrec_core.data.download import HttpSource, Source, WheelSource, fetch_first, read_member
from dconrec_core.data.local import FolderConfig, read_whole, require_content
from dconrec_core.data.raw import ITEM, RATING, TIMESTAMP, TITLE, USER, RawTable
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.registry import Config

ARCHIVE = HttpSource(
    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    "ml-100k.zip",
    "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
)
WHEEL = WheelSource(
    "recbole==1.2.1",
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
RATINGS_SHA256 = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
"""Of GroupLens' ``u.data``, which the wheel holds byte by byte below a header line."""
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
WHEEL_HEADER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"

ARCHIVE_1M = HttpSource(
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    "ml-1m.zip",
    "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
)
FILE_1M = "ml-1m.parquet"
CONTENT_1M_SHA256 = "4006295d92ab367f0bc4893d8764771af8ee6d207f5905de2a7c1e10a9ec2ad2"
"""Of user, item and rating, see ``require_content``."""


class MovieLensConfig(Config):
    """Nothing to set: the dataset is what it is."""


@dataclass(frozen=True)
class MovieLens100K:
    """100,000 ratings from 1 to 5 of 1,682 films by 943 users, with time and titles."""

    config: MovieLensConfig
    sources: tuple[Source, ...] = (ARCHIVE, WHEEL)

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Fetch where needed and read; every source gives the same table.

        Raises:
            DataError: No source answers, or one holds other ratings than the published ones.
        """
        place, file = fetch_first(self.sources, cache, options.on_epoch)
        read = _read_wheel if isinstance(self.sources[place], WheelSource) else _read_archive
        ratings, items = read(file)
        if (found := hashlib.sha256(ratings).hexdigest()) != RATINGS_SHA256:
            raise DataError(
                f"{file} holds other ratings (sha256 {found}, not {RATINGS_SHA256}); delete it and run again"
            )
        columns = {USER: "int64", ITEM: "int64", RATING: "float64", TIMESTAMP: "int64"}
        frame = pd.read_csv(io.BytesIO(ratings), sep="\t", header=None, names=list(columns), dtype=columns)
        # The source is named, not the mirror: outputs must not depend on which one answered.
        return RawTable(frame, items, (1.0, 5.0), f"MovieLens 100K, {ARCHIVE.url}", RATINGS_SHA256)


@dataclass(frozen=True)
class MovieLens1M:
    """1,000,209 ratings from 1 to 5 of 3,706 films by 6,040 users, with time and titles.

    ``ml-1m.parquet`` (``user_id`` counted from 0, ``item_id``, ``rating``) in the folder stands in for the archive; it
    has neither times nor titles.
    """

    config: FolderConfig
    sources: tuple[Source, ...] = (ARCHIVE_1M,)
    content_sha256: str = CONTENT_1M_SHA256

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read the file in the folder, else fetch where needed and read; ids and ratings are the same.

        Raises:
            DataError: The file holds other ratings than the published ones, or no source answers.
        """
        local = self.config.folder / FILE_1M
        if local.is_file():
            frame, items = read_whole(local, [USER, ITEM, RATING]), None
            frame[USER] += 1
            require_content(str(local), frame, self.content_sha256)
        else:
            _, archive = fetch_first(self.sources, cache, options.on_epoch)
            frame, items = _ratings_1m(archive), _titles_1m(archive)
        ratings = frame.astype({RATING: "float64"})
        return RawTable(ratings, items, (1.0, 5.0), f"MovieLens 1M, {ARCHIVE_1M.url}", self.content_sha256)


def _ratings_1m(archive: Path) -> pd.DataFrame:
    lines = read_member(archive, "ml-1m/ratings.dat").replace(b"::", b"\t")  # one character: the fast parser's
    return pd.read_csv(io.BytesIO(lines), sep="\t", header=None, names=[USER, ITEM, RATING, TIMESTAMP], dtype="int64")


def _titles_1m(archive: Path) -> pd.DataFrame:
    lines = read_member(archive, "ml-1m/movies.dat").decode("latin-1").splitlines()
    return _items((int(item), title) for item, title, _ in (line.split("::", 2) for line in lines if line))


def _read_archive(file: Path) -> tuple[bytes, pd.DataFrame]:
    """``u.data`` and the titles of ``u.item``, which is Latin-1."""
    lines = read_member(file, "ml-100k/u.item").decode("latin-1").splitlines()
    fields = [line.split("|", 2) for line in lines if line]
    return read_member(file, "ml-100k/u.data"), _items((int(item), title) for item, title, _ in fields)


def _read_wheel(file: Path) -> tuple[bytes, pd.DataFrame]:
    """The same ratings below a header, and the same titles with the year in a column of its own."""
    lines = read_member(file, f"{WHEEL_FOLDER}/ml-100k.item").decode("utf-8").splitlines()[1:]
    fields = [line.split("\t", 3) for line in lines if line]
    return (
        read_member(file, f"{WHEEL_FOLDER}/ml-100k.inter").removeprefix(WHEEL_HEADER),
        _items((int(item), f"{title} ({year})") for item, title, year, _ in fields),
    )


def _items(titles: Iterable[tuple[int, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(titles, columns=[ITEM, TITLE])
    # Item 267 has no title and no year: 'unknown' in the archive, a misspelt 'unkonwn (unkonwn)' in the wheel.
    return frame.assign(**{TITLE: frame[TITLE].str.strip().replace("unkonwn (unkonwn)", "unknown")})
