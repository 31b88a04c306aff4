"""Copies of the checkout that a killed ``backfill`` left, told from those that are worked in."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.copies import COPIES, ENTRIES, PROCESSES, abandoned_copies

pytestmark = pytest.mark.skipif(not PROCESSES.is_dir(), reason="without /proc nothing is removed")
WAIT = "print(flush=True); input()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    copy = tmp_path / COPIES / "tmp7x"
    (copy / "data").mkdir(parents=True)
    (copy / "data/train.parquet").write_text("x" * 10)
    return copy


@contextmanager
def working(folder: Path, words: Sequence[str] = ()) -> Iterator[None]:
    command = [sys.executable, "-c", WAIT, *words]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.communicate(b"\n")


def test_a_copy_that_nobody_works_in_may_go(tmp_path: Path, copy: Path):
    found = abandoned_copies(tmp_path)
    assert (found.count, found.size) == (1, 10)
    assert copy.is_dir()  # it was asked, not told
    found.remove()
    assert list((tmp_path / COPIES).iterdir()) == []


def test_what_dvc_had_noted_of_a_killed_run_goes_too(tmp_path: Path):
    entry = tmp_path / ENTRIES / "3f2a" / "3f2a.run"
    entry.parent.mkdir(parents=True)
    entry.write_text("{}")
    with working(tmp_path, ["dvc", "exp", "run", "--temp"]):
        assert abandoned_copies(tmp_path).count == 0
    abandoned_copies(tmp_path).remove()
    assert not entry.parent.exists()


def test_a_copy_that_a_stage_works_in_stays(tmp_path: Path, copy: Path):
    with working(copy / "data"):
        assert abandoned_copies(tmp_path).count == 0
    assert abandoned_copies(tmp_path).count == 1


def test_a_copy_that_is_just_being_made_stays(tmp_path: Path, copy: Path):
    with working(tmp_path, ["dvc", "exp", "run", "--temp"]):
        assert abandoned_copies(tmp_path).count == 0
    with working(tmp_path, ["dvc", "exp", "show"]):
        assert abandoned_copies(tmp_path).count == 1


def test_a_checkout_without_copies_has_none(tmp_path: Path):
    assert abandoned_copies(tmp_path).count == 0
