"""``make gc`` in a whole project."""

import os
import sys
from pathlib import Path

import pytest

from tests.flows.project import TINY, call, make_project

pytestmark = pytest.mark.slow


def test_gc_keeps_the_newest_champion_and_the_one_that_params_yaml_goes_on_from(tmp_path: Path):
    newest, older, start = (digit * 64 for digit in "abc")
    project = make_project(tmp_path / "home", [*TINY, f"condense.start={start}"])
    for age, name in enumerate((newest, older, start)):
        (project / "data/champions" / name).mkdir(parents=True)
        (project / "data/champions" / name / "card.json").write_text("x" * 10)
        os.utime(project / "data/champions" / name, (1000 - age, 1000 - age))
    command = [sys.executable, "-m", "flows.cleanup", "--keep", "1"]
    assert " 1  fetched champions, 0.0 MB\n" in call(project, *command).stdout
    assert len(list((project / "data/champions").iterdir())) == 3  # it was asked, not told
    call(project, *command, "--yes")
    assert {path.name for path in (project / "data/champions").iterdir()} == {newest, start}
