"""What a stage took: its own seconds and memory, and not those of the stage before it in the same process."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.timing import peak_rss_mb, reset_peak_rss, stage_timing


def test_a_block_that_fails_leaves_no_timing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), stage_timing(tmp_path / "condense.json", "cpu"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_a_block_may_add_keys(tmp_path: Path):
    with stage_timing(tmp_path / "condense.json", "cpu") as timing:
        timing["earlier_training"] = 0.5
    told = json.loads((tmp_path / "condense.json").read_text())
    assert (told["earlier_training"], told["device"]) == (0.5, "cpu")
    assert 0 <= told["stage_seconds"] < 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems tell the largest so far alone")
def test_memory_is_that_of_the_block_and_not_of_what_came_before(tmp_path: Path):
    reset_peak_rss()  # of whatever ran before
    before = peak_rss_mb()
    large = np.ones(40_000_000)  # 320 MB
    assert peak_rss_mb() > before + 250
    del large
    reset_peak_rss()
    assert peak_rss_mb() < before + 100
    with stage_timing(tmp_path / "small.json", "cpu"):
        pass
    assert json.loads((tmp_path / "small.json").read_text())["peak_rss_mb"] < before + 100
