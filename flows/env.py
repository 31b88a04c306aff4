"""Settings of the tools in one place, made before any of them is imported; a variable that is set already wins."""

import os
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.backends import MLFLOW_DATABASE, secret_in_the_open
from flows.processes import marked
from flows.served import answers, read_served

PARAMS_FILE = "params.yaml"


def find_root(start: Path | None = None) -> Path:
    """The project's folder: the nearest one at or above ``start`` that holds ``params.yaml`` and ``dvc.yaml``.

    Where there is none, ``start`` itself: reading ``params.yaml`` then says what is missing.
    """
    start = (start or Path.cwd()).resolve()
    holds_both = (folder for folder in (start, *start.parents) if _is_project(folder))
    return next(holds_both, start)


def _is_project(folder: Path) -> bool:
    return (folder / PARAMS_FILE).is_file() and (folder / "dvc.yaml").is_file()


def tracking_root(root: Path) -> Path:
    """Where runs are remembered: ``root``, or the checkout whose ``.dvc/tmp/exps`` holds this temporary copy.

    ``dvc exp run --queue`` and ``--temp`` work in a copy that is thrown away, and the runs must outlive it.
    """
    return next((folder.parent for folder in root.parents if folder.name == ".dvc"), root)


def configure(root: Path) -> None:
    """Local files instead of servers, no telemetry, and time for a slow machine to start Prefect's own server."""
    home = tracking_root(root)
    settings = {
        "DO_NOT_TRACK": "true",  # MLflow takes the word alone, not 1
        "DVC_NO_ANALYTICS": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",  # one minute; the flow itself tries again, and the next one goes on
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes fewer, and nothing here needs them
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a run; the console links to them itself
        "PREFECT_HOME": str(home / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",  # after 90 days
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    served = read_served(Path(os.environ["PREFECT_HOME"]))
    # One server on one database, and runs show up as they happen; a stranger may listen where a killed one did.
    if served and marked(served.mark) and answers(served.prefect):
        os.environ.setdefault("PREFECT_API_URL", served.api)
        os.environ.setdefault("MLFLOW_TRACKING_URI", served.tracking)
    if MLFLOW_DATABASE not in os.environ:  # its server may come later, and nothing is to be written elsewhere meanwhile
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    warnings.filterwarnings(
        "ignore", "Failed to create the Prefect home"
    )  # the pipeline says in one line that it cannot write


def own_python(root: Path) -> Path | None:
    """The project's own Python, if this one knows nothing of the project.

    ``.venv/bin/dvc repro`` without an activated environment starts its stages with whatever ``python3`` comes first.
    """
    home = tracking_root(root) / ".venv"
    python = home / "bin" / "python"
    if Path(sys.prefix).resolve() == home.resolve() or not python.is_file():
        return None
    try:
        version("dconrec")
    except PackageNotFoundError:
        return python
    return None


if problem := secret_in_the_open(os.environ):
    sys.exit(problem)
ROOT = find_root()
configure(ROOT)
if sys.orig_argv[1:3] == ["-m", "flows.stage"] and (python := own_python(ROOT)):
    os.execv(python, [str(python), *sys.orig_argv[1:]])
