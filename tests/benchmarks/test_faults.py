"""What is broken on purpose, and that it does break."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fault_kills, faults, malformed
from benchmarks.fault_project import INJECTION, Done
from benchmarks.results import read_rows
from flows.stages import STAGES

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


def test_the_stages_that_are_killed_are_those_of_the_pipeline():
    assert list(fault_kills.STAGES) == [stage.name for stage in STAGES]


class Told:
    """A project whose runs and faults are told in advance."""

    def __init__(self, runs: list[Done], faults: list[list[str]]) -> None:
        self.runs, self.faults = iter(runs), iter(faults)

    def run(self, driver: str, kill: object = None) -> Done:
        return next(self.runs)

    def visible_faults(self, *, lockfile: bool) -> list[str]:
        return next(self.faults)

    def end_faults(self) -> list[str]:
        return []


def test_each_kill_that_broke_something_counts_once_and_one_that_came_too_late_not_at_all():
    killed, fine = Done(-9, ""), Done(0, "")
    life = Told([killed, killed, killed, fine, fine], [["torn", "half"], [], ["torn"]])
    row = fault_kills.one_life(life, "dvc", [("", {"arm": "", "at": ""})] * 4)
    assert (row["tried"], row["survived"], row["lost"], row["came_too_late"]) == (3, 1, 3, 1)


@pytest.mark.parametrize(
    ("came", "faults", "expected"), [(True, [], (1, 1)), (True, ["a"], (1, 0)), (False, [], (0, 0))]
)
def test_a_fault_that_never_struck_has_not_been_survived(came: bool, faults: list[str], expected: tuple[int, int]):
    row = fault_kills.one_try(came, faults)
    assert (row["tried"], row["survived"]) == expected


def test_an_accepted_input_that_leaves_half_a_file_behind_is_a_failure_and_not_accepted(tmp_path: Path):
    tally = malformed.Tally()
    malformed._judge(tally, "half", (tmp_path / ".set.tmp-1-0a0b0c0d").touch, tmp_path, set())
    assert (tally.tried, tally.accepted, len(tally.failures)) == (1, 0, 1)


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
