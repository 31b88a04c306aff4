"""Ciao: who rated which product of a shopping community, without the stars, as DConRec's authors use it.

Tang, Gao and Liu, mTrust: Discerning Multi-faceted Trust in a Connected World (doi:10.1145/2124295.2124309).
"""

from dataclasses import dataclass
from pathlib import Path

from dconrec_core.data.local import FolderConfig, need_file, read_whole, require_content
from dconrec_core.data.raw import ITEM, USER, RawTable
from dconrec_core.options import RunOptions

HOME = "https://www.cse.msu.edu/~tangjili/trust.html"
CONTENT_SHA256 = "1dcb488c220cfac2065c44031c8e5702785d1de76c8ca2a5d87cd0801ab2b66d"


@dataclass(frozen=True)
class Ciao:
    """284,086 rows of 7,375 users and 105,114 products in ``ciao.parquet``; 1,436 of them repeat another one."""

    config: FolderConfig
    content_sha256: str = CONTENT_SHA256

    def load(self, cache: Path, options: RunOptions) -> RawTable:
        """Read ``user_id`` and ``item_id``.

        Raises:
            DataError: The file is missing or unreadable, or holds something else than what was published.
        """
        way_out = f"put the users' and products' numbers of {HOME} there as user_id and item_id"
        path = need_file(self.config.folder, "ciao.parquet", way_out)
        frame = read_whole(path, [USER, ITEM])
        require_content(str(path), frame, self.content_sha256)
        return RawTable(frame, None, None, f"Ciao, {HOME}", self.content_sha256)
