"""Dianping: who rated which restaurant of Shanghai how, and when, with a social network beside it that is not read.

Li, Wu, Tang and Mamoulis, Overlapping Community Regularization for Rating Prediction in Social Recommender Systems
(doi:10.1145/2792838.2800171), who publish it as ``Dianping_SocialRec_2015.tar.bz2``. Their README gives the columns of
``rating.txt`` (``user id|item id|rating score|date``, no header, ids from 0), its counts, and April 2003 to November
2013 as its time; not how a date is written, which is taken to be ``2009-05-12``, nor what a score of 0 says, which the
threshold leaves out. Which of its rows DConRec's authors use is not said.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dconrec_core.data.local import FolderConfig, need_file, require_rows, rows_sha256
from dconrec_core.data.raw import ITEM, RATING, TIMESTAMP, USER, RawTable
from dconrec_core.data.text import read_delimited
from dconrec_core.options import RunOptions

HOME = "https://lihui.info/file/Dianping_SocialRec_2015.tar.bz2"
ARCHIVE_SHA256 = "adcb6bffff16136a99e390cafd0f549a7e7f3028351e19886e9e3696b0722275"
INSIDE = "Dianping_SocialRec_2015"
"""Folder in the archive."""
RATINGS = "rating.txt"
N_RATINGS = 2_149_675
COLUMNS = {USER: pa.int64(), ITEM: pa.int64(), RATING: pa.float64(), TIMESTAMP: pa.timestamp("s")}
WAY_OUT = (
    "it is not the published file: unpack it again, or use dataset.name: file with separator '|' and the names of its "
    "columns"
)


@dataclass(frozen=True)
class Dianping:
    """2,149,675 ratings from 0 to 5 of 11,123 restaurants by 147,918 users, with the day.

    ``rating.txt`` lies in the folder, or in ``Dianping_SocialRec_2015`` there, as the archive has it.
    """

    config: FolderConfig
    n_ratings: int = N_RATINGS

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read ``rating.txt``; a day becomes its first second, UTC.

        Raises:
            DataError: The file is missing, a line is not of its format, or it holds fewer or more than was published.
        """
        unpacked = self.config.folder / INSIDE
        folder = unpacked if unpacked.is_dir() else self.config.folder
        path = need_file(folder, RATINGS, f"unpack {HOME} (sha256 {ARCHIVE_SHA256}) in {self.config.folder}")
        with path.open("rb") as file:
            frame = read_delimited(file, str(path), COLUMNS, WAY_OUT, separator="|", header=False)
        require_rows(str(path), frame, self.n_ratings)
        frame[TIMESTAMP] = frame[TIMESTAMP].astype("int64")
        return RawTable(frame, None, (0.0, 5.0), f"Dianping, {HOME}", rows_sha256(frame))
