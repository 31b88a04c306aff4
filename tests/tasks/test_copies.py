"""Copies of the checkout that a killed ``backfill`` left, told from those that are worked in."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.copies import COPIES, NOTES, PROCESSES, abandoned_copies, notes_of_copies

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


def note(root: Path, name: str, place: Path) -> Path:
    path = root / NOTES / name / f"{name}.run"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"root_dir": str(place)}))
    return path


def test_what_dvc_had_noted_of_copies_goes_and_what_it_notes_of_others_stays(tmp_path: Path, copy: Path):
    gone, left = note(tmp_path, "3f2a", tmp_path / COPIES / "tmp0a"), note(tmp_path, "4b1c", copy)
    here, strange = note(tmp_path, "workspace", tmp_path), tmp_path / NOTES / "5d/5d.run"
    strange.parent.mkdir()
    strange.write_text("{}")
    with working(copy):
        assert notes_of_copies(tmp_path).count == 0
    found = notes_of_copies(tmp_path)
    assert found.count == 2
    found.remove()
    assert not gone.parent.exists()
    assert not left.parent.exists()
    assert here.is_file()
    assert strange.is_file()


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
