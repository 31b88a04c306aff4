"""MovieLens 20M: GroupLens' archive, fetched or put into a folder, or what unpacking it makes.

Harper and Konstan, The MovieLens Datasets: History and Context (doi:10.1145/2827872). The licence asks not to
redistribute the data, so it is fetched and never shipped.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from dconrec_core.data.download import HttpSource, Source, fetch_first, file_sha256, open_member
from dconrec_core.data.local import FolderConfig, need_file, require_rows, rows_sha256
from dconrec_core.data.raw import ITEM, RATING, TIMESTAMP, TITLE, USER, RawTable
from dconrec_core.data.text import read_delimited
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions

ARCHIVE = HttpSource(
    "https://files.grouplens.org/datasets/movielens/ml-20m.zip",
    "ml-20m.zip",
    "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
)
INSIDE = "ml-20m"
"""Folder in the archive."""
RATINGS, MOVIES = "ratings.csv", "movies.csv"
N_RATINGS = 20_000_263
RATING_COLUMNS = {"userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float64(), "timestamp": pa.int64()}
MOVIE_COLUMNS = {"movieId": pa.int64(), "title": pa.string()}
NAMES = {"userId": USER, "movieId": ITEM, "rating": RATING, "timestamp": TIMESTAMP, "title": TITLE}
WAY_OUT = f"it is not the published file: unpack {ARCHIVE.name} of {ARCHIVE.url} again, or use dataset.name: file"


@dataclass(frozen=True)
class MovieLens20M:
    """20,000,263 ratings from 0.5 to 5 in half stars, of 26,744 films by 138,493 users, with time and titles.

    In the folder there may be ``ml-20m.zip``, or ``ml-20m`` with ``ratings.csv`` and ``movies.csv``, which the folder
    may also hold itself; the archive is fetched otherwise.
    """

    config: FolderConfig
    sources: tuple[Source, ...] = (ARCHIVE,)
    n_ratings: int = N_RATINGS

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read what is in the folder, else fetch where needed and read; the table is the same.

        Raises:
            DataError: A file is missing or not what was published, or no source answers.
        """
        place = self._in_folder() or fetch_first(self.sources, cache, options.on_epoch)[1]
        with _opened(place, RATINGS) as file:
            frame = read_delimited(file, _name(place, RATINGS), RATING_COLUMNS, WAY_OUT).rename(columns=NAMES)
        require_rows(_name(place, RATINGS), frame, self.n_ratings)
        with _opened(place, MOVIES) as file:
            items = read_delimited(file, _name(place, MOVIES), MOVIE_COLUMNS, WAY_OUT).rename(columns=NAMES)
        items[TITLE] = items[TITLE].str.strip()
        return RawTable(frame, items, (0.5, 5.0), f"MovieLens 20M, {ARCHIVE.url}", rows_sha256(frame))

    def _in_folder(self) -> Path | None:
        """The unpacked folder or the archive that a person put there, if any."""
        folder, archive = self.config.folder, self.config.folder / ARCHIVE.name
        if (folder / INSIDE).is_dir():
            for name in (RATINGS, MOVIES):
                need_file(folder / INSIDE, name, f"unpack {ARCHIVE.name} of {ARCHIVE.url} there")
            return folder / INSIDE
        if (folder / RATINGS).is_file() and (folder / MOVIES).is_file():
            return folder
        if not archive.is_file():
            return None
        wanted = {source.sha256 for source in self.sources}
        if (found := file_sha256(archive)) not in wanted:
            raise DataError(
                f"{archive} is not the published archive (sha256 {found}, not {' or '.join(wanted)}); "
                f"download {ARCHIVE.url} again, or delete it to have it fetched"
            )
        return archive


def _name(place: Path, name: str) -> str:
    return str(place / name) if place.is_dir() else f"{place}: {INSIDE}/{name}"


def _opened(place: Path, name: str) -> AbstractContextManager[IO[bytes]]:
    """A file of the unpacked folder, or of the archive, out of which nothing is extracted."""
    return (place / name).open("rb") if place.is_dir() else open_member(place, f"{INSIDE}/{name}")
