"""Gowalla's check-ins with the public split that LightGCN and its successors report on.

Wang et al., Neural Graph Collaborative Filtering (doi:10.1145/3331184.3331267), whose 10-core and split they are.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dconrec_core.data.local import FolderConfig, need_file, read_whole, require_content
from dconrec_core.data.raw import ITEM, PART, USER, RawTable
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions

HOME = "https://github.com/gusye1234/LightGCN-PyTorch/tree/master/data/gowalla"
CONTENT_SHA256 = "9b61052b7c6bf055addcdad6ebfdc71a8ac82913a8a08b21dde7acdeaed8aad5"
"""Of user, item and part (0 for train, 1 for test)."""


@dataclass(frozen=True)
class Gowalla:
    """1,027,370 check-ins of 29,858 users at 40,981 places, 217,242 of them for the test.

    Each part is in ``gowalla-PART.parquet`` (``user_id``, ``item_id``) or, as it was published, in ``PART.txt``: a line
    a user, the user and then the items.
    """

    config: FolderConfig
    content_sha256: str = CONTENT_SHA256

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read both parts; ``part`` says of each row which one it is in.

        Raises:
            DataError: A file is missing or unreadable, or they hold something else than what was published.
        """
        frame = pd.concat([self._read(part).assign(**{PART: part}) for part in ("train", "test")], ignore_index=True)
        judged = frame.assign(**{PART: (frame[PART] == "test").astype("int64")})
        require_content(f"gowalla in {self.config.folder}", judged, self.content_sha256)
        return RawTable(frame, None, None, f"Gowalla, {HOME}", self.content_sha256)

    def _read(self, part: str) -> pd.DataFrame:
        text = self.config.folder / f"{part}.txt"
        if text.is_file():
            return _read_lists(text)
        name = f"gowalla-{part}.parquet"
        return read_whole(need_file(self.config.folder, name, f"put it there, or {part}.txt from {HOME}"), [USER, ITEM])


def _read_lists(path: Path) -> pd.DataFrame:
    """``user item item …`` a line; a user without items has a line of one number."""
    users: list[int] = []
    items: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            user, *theirs = map(int, line.split())
        except ValueError:
            raise DataError(f"{path} line {number} is not a user and items, all whole numbers: {line[:60]!r}") from None
        users += [user] * len(theirs)
        items += theirs
    return pd.DataFrame({USER: users, ITEM: items}, dtype="int64")
