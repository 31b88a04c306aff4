"""DVC's files as a kill leaves them; the project is that of the tests of versioning."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.versioning import VersioningError, Versions
from tasks.versioning_repair import repair
from tests.flows.project import git
from tests.tasks.test_versioning import project as project
from tests.tasks.test_versioning import run_first
from tests.tasks.test_versioning import template as template


@pytest.fixture
def finished(project: Path) -> Path:
    with Versions(project) as versions:
        run_first(project, versions)
    assert repair(project) == []
    return project


def test_a_lock_file_that_is_cut_off_is_made_again_from_the_cache(finished: Path):
    before = (finished / "dvc.lock").read_bytes()
    for cut in (b"", before[:30], before[:-20], b"schema: '2.0'\nstages:\n  first:\n"):
        (finished / "dvc.lock").write_bytes(cut)
        assert "dvc.lock was cut off and is removed" in repair(finished)[0]
        with Versions(finished) as versions:
            assert versions.reasons("first")
            assert versions.restore("first")
        assert (finished / "dvc.lock").read_bytes() == before


def test_a_lock_file_that_git_has_comes_back_from_there(finished: Path):
    before = (finished / "dvc.lock").read_bytes()
    git(finished, "add", "--all")
    git(finished, "commit", "--quiet", "--message", "state")
    (finished / "dvc.lock").write_bytes(before[:-9])
    assert "is again what Git has" in repair(finished)[0]
    assert (finished / "dvc.lock").read_bytes() == before


def test_a_table_of_locks_that_is_cut_off_or_names_the_dead_does_not_block(finished: Path):
    table = finished / ".dvc/tmp/rwlock"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = {"pid": ended.pid, "cmd": "dvc repro"}
    for content in ("", '{"write": {', json.dumps({"write": {str(finished / "first.txt"): dead}, "read": {}})):
        table.write_text(content)
        assert len(repair(finished)) == 1
        with Versions(finished) as versions:
            assert versions.reasons("first") == []


def test_a_later_process_of_the_same_number_holds_nothing_and_a_running_one_does(finished: Path):
    table = finished / ".dvc/tmp/rwlock"
    table.write_text(json.dumps({"write": {str(finished / "first.txt"): {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    assert repair(finished) == []
    with Versions(finished) as versions, pytest.raises(VersioningError, match=rf"process {os.getpid()}: dvc repro"):
        versions.commit("first")
    os.utime(table, (1, 1))  # written before this process began
    assert repair(finished) == ["DVC's table of locks named processes that have ended"]


def test_an_entry_of_the_cache_of_runs_that_is_cut_off_does_not_block(finished: Path):
    [entry] = (finished / ".dvc/cache/runs").glob("*/*/*")
    before = entry.read_bytes()
    (finished / "first.txt").unlink()
    (finished / "dvc.lock").unlink()
    for name in ("", ".kTfF2.tmp"):
        entry.unlink(missing_ok=True)
        if name:
            (entry.parent / name).write_bytes(before[:9])
        assert repair(finished) == ["an entry of DVC's cache of runs was cut off and is removed"]
        assert not entry.parent.exists()
        with Versions(finished) as versions:
            assert not versions.restore("first")
            run_first(finished, versions)
        assert entry.read_bytes() == before
        (finished / "dvc.lock").unlink()
