"""A DVC project of two small stages: what the flow asks of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest
from dvc.lock import LockError
from dvc.repo import Repo

from tasks.versioning import BusyError, VersioningError, Versions
from tests.flows.project import git

PIPELINE = """\
stages:
  first:
    cmd: tr a-z A-Z < source.txt > first.txt
    deps: [source.txt]
    params: [letter]
    outs: [first.txt]
  second:
    cmd: mkdir -p second && cp first.txt second
    deps: [first.txt]
    outs: [second]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc") / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    Repo.init(str(folder)).close()
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("letter: a\n")
    (folder / "source.txt").write_text("words\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(template, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def run_first(project, versions):
    (project / "first.txt").write_text("WORDS\n")
    versions.commit("first")


def test_a_stage_is_stale_until_it_is_committed_and_again_when_something_changes(project):
    with Versions(project) as versions:
        assert versions.reasons("first")
        run_first(project, versions)
        assert versions.reasons("first") == []
        (project / "params.yaml").write_text("letter: b\n")
        assert versions.reasons("first") == ["letter modified"]
        (project / "params.yaml").write_text("letter: a\n")
        (project / "source.txt").write_text("other\n")
        assert versions.reasons("first") == ["source.txt modified"]
        (project / "source.txt").write_text("words\n")
        (project / "first.txt").unlink()
        assert versions.reasons("first") == ["first.txt deleted"]


def test_inputs_are_the_files_and_settings_of_a_stage_as_they_are_now(project):
    with Versions(project) as versions:
        before = versions.inputs("first")
        assert before.keys() == {"source.txt", "letter"}
        run_first(project, versions)
        assert versions.inputs("first") == before
        (project / "params.yaml").write_text("letter: b\n")
        assert versions.inputs("first") == {**before, "letter": "b"}
        (project / "source.txt").write_text("other\n")
        assert versions.inputs("first")["source.txt"] != before["source.txt"]


def test_outputs_of_earlier_inputs_come_back_from_the_cache(project):
    with Versions(project) as versions:
        assert not versions.restore("first")
        run_first(project, versions)
        (project / "params.yaml").write_text("letter: b\n")
        assert not versions.restore("first")
        (project / "first.txt").write_text("B\n")
        versions.commit("first")
        (project / "params.yaml").write_text("letter: a\n")
        assert versions.restore("first")
        assert (project / "first.txt").read_text() == "WORDS\n"
        assert versions.reasons("first") == []


def test_inside_a_dvc_stage_nothing_is_committed(project, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "first")
    with Versions(project) as versions:
        run_first(project, versions)
    assert not (project / "dvc.lock").exists()


def test_hash_of_an_output_is_dvcs_own(project):
    with Versions(project) as versions:
        assert versions.hash_of(Path("first.txt")) is None
        run_first(project, versions)
        (project / "second").mkdir()
        (project / "second/first.txt").write_text("WORDS\n")
        versions.commit("second")
    with Versions(project) as versions:
        lock = (project / "dvc.lock").read_text()
        assert f"md5: {versions.hash_of(Path('first.txt'))}" in lock
        assert versions.hash_of(Path("second")).endswith(".dir")
        assert f"md5: {versions.hash_of(Path('second'))}" in lock
        assert versions.hash_of(Path("nowhere")) is None


def test_git_commit_says_whether_something_was_changed(project):
    head = git(project, "rev-parse", "HEAD").strip()
    with Versions(project) as versions:
        assert versions.git_commit() == head
        (project / "source.txt").write_text("other\n")
        assert versions.git_commit() == f"{head} (changed)"


@pytest.mark.parametrize(("missing", "words"), [(".dvc", "is not a DVC project"), (".git", "is not a Git repository")])
def test_without_dvc_or_git_the_way_out_is_named(project, missing, words):
    shutil.rmtree(project / missing)
    with pytest.raises(VersioningError, match=words) as error:
        Versions(project)
    assert "git init" in str(error.value)


def test_a_busy_dvc_and_a_broken_dvc_yaml_are_one_line(project, monkeypatch):
    with Versions(project) as versions:
        with monkeypatch.context() as patch:
            patch.setattr(versions._repo, "status", lambda **_: (_ for _ in ()).throw(LockError("locked")))
            with pytest.raises(VersioningError, match="DVC is busy in this folder"):
                versions.reasons("first")
        (project / "dvc.yaml").write_text("stages: [")
        with pytest.raises(VersioningError, match=r"dvc\.yaml") as error:
            versions.reasons("first")
        assert "\n" not in str(error.value)


HOLD = "from dvc.repo import Repo; Repo().lock.lock(); print('held', flush=True); input()"


@pytest.fixture
def holder(project, monkeypatch):
    """Another process that has DVC's lock, as `dvc push` has."""
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.3)  # DVC's own patience, in seconds
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_what_a_stage_has_computed_is_committed_after_another_dvc_command_has_ended(project, holder, capsys):
    (project / "first.txt").write_text("WORDS\n")
    Timer(1, holder.kill).start()
    with Versions(project) as versions:
        inputs = versions.inputs("first")
        versions.commit("first")
        assert versions.inputs("first") == inputs
        assert versions.reasons("first") == []
    said = f"waiting for another dvc command (process {holder.pid}) to end\n"
    assert capsys.readouterr().err == said  # once


def test_a_look_that_must_not_wait_says_who_is_there(project, holder):
    with (
        Versions(project, wait=False) as versions,
        pytest.raises(BusyError, match=rf"DVC is busy in this folder: .*\(process {holder.pid}\)"),
    ):
        versions.reasons("first")


def flip(path):
    """Another first byte; size, mode and times stay, as when a disk fails."""
    status, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.chmod(status.st_mode)


def test_an_altered_object_of_the_cache_is_removed_and_not_believed(project, capsys):
    with Versions(project) as versions:
        run_first(project, versions)
        (project / "first.txt").unlink()
        [stored] = [path for path in (project / ".dvc/cache/files").rglob("*") if path.is_file()]
        flip(stored)
        assert not versions.restore("first")
        assert "first: 1 altered objects removed" in capsys.readouterr().err
        assert not stored.exists()
        run_first(project, versions)
        assert stored.read_text() == "WORDS\n"


def test_an_output_that_is_not_what_the_lock_file_says_is_found(project):
    with Versions(project) as versions:
        run_first(project, versions)
        (project / "second").mkdir()
        (project / "second/first.txt").write_text("WORDS\n")
        versions.commit("second")
    with Versions(project) as versions:
        assert versions.altered() == []
        for path in (project / "first.txt", project / "second/first.txt"):
            flip(path)
        assert versions.altered() == [project / "first.txt", project / "second/first.txt"]


def test_a_file_of_the_users_own_that_has_changed_since_dvc_add_is_not_called_altered(project):
    git(project, "rm", "--quiet", "--cached", "source.txt")
    with Versions(project) as versions:
        versions.add(Path("source.txt"))
        run_first(project, versions)
    (project / "source.txt").write_text("other words\n")
    with Versions(project) as versions:
        assert versions.altered() == []
        assert versions.reasons("first") == ["source.txt modified"]
