"""Addresses of what a person wants to see in MLflow and Prefect."""

import os
from collections.abc import Mapping
from typing import Any

from flows.served import HOST, MLFLOW_PORT, answers, home, read_served
from tasks.outputs import read_json
from tasks.workspace import Workspace

USUAL = f"http://{HOST}:{MLFLOW_PORT}"
"""Where MLflow's pages are unless the port is taken."""


def pages(mlflow: str, prefect: str, registration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to open, most useful first; MLflow's bare address would land on its page for language models."""
    if not registration:
        return [("MLflow", mlflow), ("Prefect flow runs", f"{prefect}/runs")]
    experiment = f"{mlflow}/#/experiments/{registration['experiment_id']}"
    return [
        ("runs to compare", f"{experiment}/runs?workflowType=machine_learning"),
        ("last run", run_page(mlflow, registration)),
        ("registered set", version_page(mlflow, registration)),
        ("Prefect flow runs", f"{prefect}/runs"),
    ]


def run_page(mlflow: str, registration: Mapping[str, Any]) -> str:
    """The run that the pipeline left."""
    return f"{mlflow}/#/experiments/{registration['experiment_id']}/runs/{registration['run_id']}"


def report_page(mlflow: str, registration: Mapping[str, Any]) -> str:
    """The report among that run's artifacts: unlike the file itself, a page of another server may link to it."""
    return f"{run_page(mlflow, registration)}/artifacts/report.html"


def version_page(mlflow: str, registration: Mapping[str, Any]) -> str:
    """The registered set."""
    return f"{mlflow}/#/models/{registration['model']}/versions/{registration['version']}"


def mlflow_pages() -> str | None:
    """Where MLflow's pages are: those that are served here, or those of the server that runs are written to."""
    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    if store.startswith("http"):
        return store.rstrip("/")
    served = read_served(home())
    return served.mlflow if served and answers(served.mlflow) else None


def registration_of(files: Workspace) -> dict[str, Any]:
    """What the register stage left; empty before its first run."""
    content: dict[str, Any] = read_json(files.registration, optional=True)
    return content
