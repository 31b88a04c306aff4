import subprocess
import sys
from pathlib import Path

from flows.env import configure, find_root, own_python, tracking_root
from tests.flows.project import ROOT, environment


def project(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "params.yaml").touch()
    (folder / "dvc.yaml").touch()
    return folder


def test_root_is_the_nearest_project_above(tmp_path):
    root = project(tmp_path / "p")
    (root / "data/raw").mkdir(parents=True)
    assert find_root(root / "data/raw") == root
    assert find_root(root) == root
    assert find_root(tmp_path) == tmp_path


def test_a_variable_that_is_set_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    monkeypatch.delenv("PREFECT_HOME")
    configure(tmp_path)
    import os

    assert os.environ["MLFLOW_TRACKING_URI"] == "http://server"
    assert os.environ["PREFECT_HOME"] == str(tmp_path / ".prefect")


def test_experiments_in_temporary_copies_are_remembered_in_the_checkout(tmp_path):
    assert tracking_root(tmp_path / "p") == tmp_path / "p"
    assert tracking_root(tmp_path / "p/.dvc/tmp/exps/standalone/tmpx") == tmp_path / "p"


def test_own_python_is_used_where_this_one_knows_nothing_of_the_project(tmp_path, monkeypatch):
    assert own_python(tmp_path) is None
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert own_python(tmp_path) is None
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr("flows.env.version", lambda name: "1")
    assert own_python(tmp_path) is None
    monkeypatch.undo()


def test_a_stage_needs_no_activated_environment(tmp_path):
    root = project(tmp_path / "p")
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho own "$@"\n')
    python.chmod(0o755)
    bare = ["-S", "-I"]  # neither site-packages nor anything else but the standard library
    pretend = "sys.orig_argv[1:] = ['-m', 'flows.stage', 'split']"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {pretend}; import flows"
    done = subprocess.run(
        [sys.executable, *bare, "-c", code], cwd=root, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "own -m flows.stage split\n", done.stderr


def test_importing_the_edge_is_cheap():
    """Seconds at the start of every stage would add up."""
    costly = {"torch", "mlflow", "prefect", "great_expectations", "dvc"}
    code = f"import flows.stage, sys; print(sorted({costly} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
