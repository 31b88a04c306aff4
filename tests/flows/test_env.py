import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.env import configure, find_root, own_python, tracking_root
from flows.processes import MARK, marked
from flows.served import HOST, Served, write_served
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


@pytest.mark.parametrize("alive", [True, False])
def test_the_servers_of_a_make_serve_are_used_while_its_processes_live_and_a_strangers_never(
    alive, tmp_path, monkeypatch
):
    import os

    settings = os.environ | ({MARK: "ours"} if alive else {})
    with socket.socket() as listens, subprocess.Popen(["sleep", "60"], env=settings) as process:
        listens.bind((HOST, 0))
        listens.listen()
        prefect = f"http://{HOST}:{listens.getsockname()[1]}"
        write_served(tmp_path, Served("ours", process.pid, "2026-01-01T00:00:00+00:00", "http://m", prefect, "t", True))
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):  # set and removed, so that both are put back
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
        while alive and not marked("ours"):
            pass  # between fork and exec it has its parent's environment
        configure(tmp_path)
        process.kill()
    assert os.environ.get("PREFECT_API_URL") == (f"{prefect}/api" if alive else None)
    assert os.environ["MLFLOW_TRACKING_URI"] == ("t" if alive else f"sqlite:///{tmp_path}/mlflow/mlflow.db")


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


@pytest.mark.parametrize(
    ("name", "address", "way_out"),
    [
        ("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9", "MLFLOW_TRACKING_PASSWORD"),
        ("MLFLOW_TRACKING_URI", "postgresql://me:s3cret@127.0.0.1/mlflow", "MLFLOW_BACKEND_STORE_URI"),
        ("PREFECT_API_URL", "http://me:s3cret@127.0.0.1:9/api", "PREFECT_API_AUTH_STRING"),
    ],
)
def test_an_address_that_is_shown_may_hold_no_password(name, address, way_out):
    settings = environment() | {name: address}
    command = [sys.executable, "-m", "flows.status"]
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert way_out in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stdout + done.stderr


def test_without_its_server_a_database_of_mlflow_is_no_reason_to_write_elsewhere(tmp_path, monkeypatch):
    from tasks.tracking_store import StoreError, store_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://me:s3cret@127.0.0.1/mlflow")
    configure(project(tmp_path / "p"))
    with pytest.raises(StoreError, match="run make serve, or set MLFLOW_TRACKING_URI") as error:
        store_uri(tmp_path)
    assert "s3cret" not in str(error.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://127.0.0.1/mlflow")
    with pytest.raises(StoreError, match="give a database to MLFLOW_BACKEND_STORE_URI"):
        store_uri(tmp_path)


def test_workers_are_not_told_the_databases():
    from flows.backends import prefect_has_own_file, without_databases

    secrets = {
        "PREFECT_API_DATABASE_CONNECTION_URL": "a",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "b",
        "PREFECT_SERVER_DATABASE_PASSWORD": "c",
        "MLFLOW_BACKEND_STORE_URI": "d",
    }
    assert without_databases(secrets | {"PATH": "p", "MLFLOW_TRACKING_URI": "u"}) == {
        "PATH": "p",
        "MLFLOW_TRACKING_URI": "u",
    }
    assert not prefect_has_own_file(secrets)
    assert not prefect_has_own_file({"PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg"})
    assert prefect_has_own_file({"PREFECT_SERVER_DATABASE_TIMEOUT": "5"})
