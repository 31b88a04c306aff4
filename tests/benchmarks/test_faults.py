"""What is broken on purpose, and that it does break."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fault_kills, faults
from benchmarks.fault_project import INJECTION
from benchmarks.results import read_rows

STAGE = (
    "import os, {module}\nprint('before', flush=True)\nos.replace({source!r}, {target!r})\nprint('after', flush=True)"
)


def broken(code: str, kill: dict[str, object]) -> subprocess.CompletedProcess[str]:
    settings = os.environ | {"PYTHONPATH": str(INJECTION), "FAULT_KILL": json.dumps(kill)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False, start_new_session=True)


def test_a_kill_strikes_before_the_event_it_is_for_and_once_it_is_armed(tmp_path: Path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.touch()
    code = STAGE.format(module="colorsys", source=str(source), target=str(target))
    assert broken(code, {"arm": "import wave", "at": r"os\.rename"}).returncode == 0
    os.replace(target, source)
    killed = broken(code, {"arm": "import colorsys", "at": r"os\.rename .*/b$"})
    assert (killed.returncode, killed.stdout) == (-9, "before\n")
    assert source.exists()
    assert not target.exists()


def test_a_torn_write_leaves_an_empty_file(tmp_path: Path):
    path = tmp_path / "dvc.lock"
    path.write_text("whole")
    killed = broken(f"open({str(path)!r}, 'w').write('new')", {"arm": "", "at": r"write .*dvc\.lock$", "torn": True})
    assert killed.returncode == -9
    assert path.read_text() == ""


@pytest.mark.parametrize("driver", ["flow", "dvc"])
@pytest.mark.parametrize("point", fault_kills.POINTS)
def test_every_stage_is_killed_at_every_point_under_both_drivers(driver: str, point: str):
    plan = list(fault_kills.lives(driver, point, 0))
    assert [stage for stage, _ in plan] == list(fault_kills.STAGES)
    assert plan == list(fault_kills.lives(driver, point, 0))
    assert all({"arm", "at"} <= kill.keys() for _, kill in plan)


def test_every_case_has_a_published_row_and_none_lost_anything(root: Path):
    rows = read_rows(root / "benchmarks/results/faults.json")
    assert [row["case"] for row in rows if row["survived"] < row["tried"] or row["lost"]] == []
    assert sum(row["tried"] for row in rows if "kill" in row["case"]) >= 60
    assert sum(row["tried"] for row in rows if "malformed" in row["case"]) >= 2000
    assert {name for name, _ in faults.cases()} <= {row["case"] for row in rows}
