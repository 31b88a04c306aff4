"""A fresh SQLite store of MLflow, made beside its place and renamed: a kill half-way would break it for good."""

import os
import subprocess
import sys
from pathlib import Path

from dconrec_core.atomic import atomic_file
from dconrec_core.errors import DConRecError


class StoreError(DConRecError):
    """The database of MLflow cannot be made."""


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
