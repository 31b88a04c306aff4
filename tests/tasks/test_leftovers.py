"""What a killed process leaves, told from what a running one is just writing."""

import os
import subprocess
import sys
from pathlib import Path

from dconrec_core.atomic import atomic_file, atomic_folder
from tasks.leftovers import leftovers, sweep

CUT_OFF = """
import os, signal, sys
from pathlib import Path
from dconrec_core.atomic import atomic_file, atomic_folder
with atomic_folder(Path(sys.argv[1]) / "data/split") as folder:
    (folder / "train.parquet").write_text("half")
    with atomic_file(Path(sys.argv[1]) / "results/timings/condense.json") as file:
        file.write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_cut_off_is_swept_and_what_was_there_stays(root: Path, tmp_path: Path):
    with atomic_folder(tmp_path / "data/split") as folder:
        (folder / "train.parquet").write_text("whole")
    killed = subprocess.run([sys.executable, "-c", CUT_OFF, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -9
    (tmp_path / "data/cache/.pip-x7").mkdir(parents=True)
    (tmp_path / "data/cache/ml-100k.zip.part").write_text("gone on with later")
    swept = sorted(path.name.partition(".tmp-")[0] for path in sweep(tmp_path))
    assert swept == [".condense.json", ".pip-x7", ".split"]
    assert leftovers(tmp_path) == []
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"data/split/train.parquet", "data/cache/ml-100k.zip.part"}


def test_what_a_running_process_writes_is_left_alone(tmp_path: Path):
    with atomic_file(tmp_path / "results/metrics.json") as file:
        file.write_text("{}")
        assert f".tmp-{os.getpid()}" in file.name
        assert sweep(tmp_path) == []
    assert (tmp_path / "results/metrics.json").read_text() == "{}"
