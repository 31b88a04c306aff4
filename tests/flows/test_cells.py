"""What comes back from processes that may lie elsewhere."""

import pytest

from dconrec_core.errors import ConfigError
from flows.cells import Measurer, Setup
from tasks.comparison import Cell

CELL = Cell("toy", 0.25, "random", "bprmf", 0)


@pytest.fixture
def measurer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Measurer(Setup("run", {}, None))


def test_a_row_of_another_checkout_is_kept_here(measurer):
    measurer.adopt(CELL, {"core": measurer.results.core, "packages": measurer.results.packages, "quality": 0.9})
    assert measurer.measure(CELL) == (measurer.results.find(CELL.case), True)
    assert measurer.results.find(CELL.case)["quality"] == 0.9


def test_a_row_of_other_code_or_of_other_packages_is_refused(measurer):
    with pytest.raises(ConfigError, match="bring the checkouts of all workers to one commit"):
        measurer.adopt(CELL, {"core": "another", "quality": 0.9})
    with pytest.raises(ConfigError, match=r"other versions of numba, numpy, .* torch; install constraints.txt"):
        measurer.adopt(CELL, {"core": measurer.results.core, "packages": "another", "quality": 0.9})
    assert measurer.results.find(CELL.case) is None


def test_a_process_shares_within_one_run_and_not_with_the_one_before(measurer):
    assert Measurer.of(Setup("run", {}, None)) is measurer
    assert Measurer.of(Setup("next", {}, None)) is not measurer
