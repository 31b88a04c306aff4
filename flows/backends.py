"""Where Prefect and MLflow keep what they know: files of this checkout, or databases that the environment names.

The address of a database holds a password. The two servers read it from their environment; a worker, a run, a page, a
note on disk and a list of processes are never told it.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

MLFLOW_DATABASE = "MLFLOW_BACKEND_STORE_URI"
PREFECT_DATABASE = ("PREFECT_SERVER_DATABASE_", "PREFECT_API_DATABASE_")
"""How the settings that name Prefect's database begin; each has an older spelling."""
FOR_CLIENTS = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")
"""Addresses that are shown, noted and passed on."""


def without_databases(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of whoever talks to the servers and not to their databases."""
    return {
        name: value
        for name, value in environment.items()
        if name != MLFLOW_DATABASE and not name.startswith(PREFECT_DATABASE)
    }


def prefect_has_own_file(environment: Mapping[str, str]) -> bool:
    """Whether Prefect's database is the file in ``PREFECT_HOME``."""
    named = (name.endswith(("_CONNECTION_URL", "_DRIVER")) for name in environment if name.startswith(PREFECT_DATABASE))
    return not any(named)


def secret_in_the_open(environment: Mapping[str, str]) -> str | None:
    """What is wrong with an address that is shown and holds a password, in one line without it."""
    ways_out = {
        "MLFLOW_TRACKING_URI": f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, a database {MLFLOW_DATABASE}",
        "PREFECT_API_URL": "PREFECT_API_AUTH_STRING",
    }
    for name in FOR_CLIENTS:
        if urlsplit(environment.get(name, "")).password is not None:
            return (
                f"{name} holds a password, and addresses are shown in pages and logs; for it there is {ways_out[name]}"
            )
    return None
