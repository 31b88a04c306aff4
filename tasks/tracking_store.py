"""Which store of MLflow runs are written to, and a fresh SQLite one, made so that a kill half-way cannot break it."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from dconrec_core.atomic import atomic_file
from dconrec_core.errors import DConRecError

SQLITE = "sqlite:///"
SERVERS = ("http://", "https://")
ARTIFACTS = "artifacts"
"""Folder beside a database, for what its runs leave."""
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's tables say, absolutely, where artifacts lie."""


class StoreError(DConRecError):
    """The database of MLflow cannot be made, or is none that runs can be written to."""


def store_uri(home: Path) -> str:
    """``MLFLOW_TRACKING_URI``; by default a SQLite file in ``home``.

    Raises:
        StoreError: It is the database of a server, or that server is not there yet.
    """
    if "MLFLOW_TRACKING_URI" not in os.environ and "MLFLOW_BACKEND_STORE_URI" in os.environ:
        raise StoreError(
            "MLFLOW_BACKEND_STORE_URI names the database of an MLflow server, and none is served here; run "
            "make serve, or set MLFLOW_TRACKING_URI to the server's address"
        )
    uri = os.environ.setdefault("MLFLOW_TRACKING_URI", f"{SQLITE}{home.resolve() / 'mlflow.db'}")
    if not uri.startswith((SQLITE, *SERVERS)):
        raise StoreError(
            f"MLFLOW_TRACKING_URI is a {uri.partition(':')[0]} address, which would leave artifacts on this disk; "
            "give a database to MLFLOW_BACKEND_STORE_URI and run make serve"
        )
    return uri


def is_server(uri: str) -> bool:
    """Whether an MLflow server is behind it, and no file."""
    return uri.startswith(SERVERS)


def make_store(database: Path) -> None:
    """Let MLflow make its tables, all or none; does nothing where the file is there already.

    The caller holds the lock: two processes that make the tables of one file at once break it, too.

    Raises:
        StoreError: MLflow could not.
    """
    if database.exists():
        return
    with atomic_file(database) as temporary:
        uri = f"sqlite:///{temporary.resolve()}"
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
        settings = os.environ | {"MLFLOW_TRACKING_URI": uri}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StoreError(f"{database}: MLflow cannot make its tables: {said}; is the disk full or read-only?")


def follow(database: Path, was: str, now: str) -> None:
    """Let a project that was copied or moved use its own artifacts: MLflow itself goes on with the original's.

    Args:
        database: The copy's. The caller holds the lock.
        was: The address of the original's folder of artifacts; of another place by another name nothing is changed.
        now: That of the copy's.
    """
    if was == now or not (was.startswith("file:") and was.endswith(f"/{ARTIFACTS}")):
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in PLACES:
            below = f"substr({column} || '/', 1, length(:was) + 1) = :was || '/'"
            moved = f"UPDATE {table} SET {column} = :now || substr({column}, length(:was) + 1) WHERE {below}"
            connection.execute(moved, {"was": was, "now": now})
