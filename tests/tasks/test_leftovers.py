"""What a killed process leaves, told from what a running one is just writing."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dconrec_core.atomic import atomic_file, atomic_folder
from dconrec_core.data import download
from tasks.leftovers import leftovers, sweep

CUT_OFF = """
import os, signal, sys
from pathlib import Path
from dconrec_core.atomic import atomic_file, atomic_folder
with atomic_folder(Path(sys.argv[1]) / "data/split") as folder:
    (folder / "train.parquet").write_text("half")
    with (
        atomic_file(Path(sys.argv[1]) / "results/timings/condense.json") as file,
        atomic_file(Path(sys.argv[1]) / "data/input/ratings.csv") as ratings,
        atomic_folder(Path(sys.argv[1]) / "data/champions/0a1b"),
    ):
        ratings.write_text("1,")
        file.write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_cut_off_is_swept_and_what_was_there_stays(root: Path, tmp_path: Path):
    with atomic_folder(tmp_path / "data/split") as folder:
        (folder / "train.parquet").write_text("whole")
    killed = subprocess.run([sys.executable, "-c", CUT_OFF, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -9
    (tmp_path / "data/cache/.thing.whl.pip-x7").mkdir(parents=True)
    (tmp_path / "data/cache/ml-100k.zip.part").write_text("gone on with later")
    swept = sorted(path.name.partition(".tmp-")[0] for path in sweep(tmp_path))
    assert swept == [".0a1b", ".condense.json", ".ratings.csv", ".split", ".thing.whl.pip-x7"]
    assert leftovers(tmp_path) == []
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"data/split/train.parquet", "data/cache/ml-100k.zip.part"}


BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from dconrec_core.atomic import atomic_folder
replace = os.replace
def replace_and_die(source, target):
    replace(source, target)
    os.kill(os.getpid(), signal.SIGKILL)
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "train.parquet").write_text("new")
    os.replace = replace_and_die
"""


def test_a_folder_moved_aside_for_one_that_never_came_goes_back(root: Path, tmp_path: Path):
    split, held = tmp_path / "data/split", tmp_path / "data/held"
    for folder in (split, held):
        folder.mkdir(parents=True)
        (folder / "train.parquet").write_text("old")
        killed = subprocess.run([sys.executable, "-c", BETWEEN_RENAMES, str(folder)], cwd=root, check=False)
        assert killed.returncode == -9
        assert not folder.exists()
    held.mkdir()  # somebody has made it anew
    swept = sorted(path.name.partition(".tmp-")[0] for path in sweep(tmp_path))
    assert swept == [".held", ".held", ".split"]
    assert leftovers(tmp_path) == []
    assert (split / "train.parquet").read_text() == "old"
    assert sorted((tmp_path / "data").iterdir()) == [held, split]
    assert list(held.iterdir()) == []


def test_what_a_running_process_writes_is_left_alone(tmp_path: Path):
    with atomic_file(tmp_path / "results/metrics.json") as file:
        file.write_text("{}")
        assert f".tmp-{os.getpid()}-" in file.name
        assert sweep(tmp_path) == []
    assert (tmp_path / "results/metrics.json").read_text() == "{}"


def test_what_pip_downloads_for_another_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache, content = tmp_path / "data/cache", b"a wheel"
    (cache / ".thing.whl.pip-x7").mkdir(parents=True)
    swept: list[Path] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        with ThreadPoolExecutor(1) as pipeline:
            swept.extend(pipeline.submit(sweep, tmp_path).result())
        (Path(command[-1]) / "thing.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.subprocess, "run", pip)
    source = download.WheelSource("thing==1.0", "thing.whl", hashlib.sha256(content).hexdigest())
    assert download.fetch_first([source], cache) == (0, cache / "thing.whl")
    assert swept == []
    assert [path.name for path in sweep(tmp_path)] == [".thing.whl.pip-x7"]  # of one that was killed before
