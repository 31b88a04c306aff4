"""What ``make serve`` runs at the moment: one small file that every other command reads."""

import json
import os
import socket
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from dconrec_core.atomic import write_json

HOST = "127.0.0.1"
MLFLOW_PORT, PREFECT_PORT = 5055, 4200
FILE = "served.json"


@dataclass(frozen=True)
class Served:
    """One ``make serve``.

    Args:
        mark: What its processes carry in their environment.
        pid: Of the process that watches over the others.
        since: When it started, ISO 8601 with the zone.
        mlflow: Address of MLflow's pages.
        prefect: Address of Prefect's.
        tracking: Where runs are to be written: MLflow's own address, or a database that is a file.
        worker: Whether runs are started, or only pages shown.
    """

    mark: str
    pid: int
    since: str
    mlflow: str
    prefect: str
    tracking: str
    worker: bool

    @property
    def api(self) -> str:
        """Address for Prefect's clients."""
        return f"{self.prefect}/api"


def home() -> Path:
    """Prefect's folder of this checkout: database, logs, and this file."""
    return Path(os.environ["PREFECT_HOME"])


def read_served(folder: Path) -> Served | None:
    """What was served last in ``folder`` and did not end in order, or still is; None for neither."""
    try:
        return Served(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none, or another version's
        return None


def write_served(folder: Path, served: Served) -> None:
    """Say what is served; the pages need not answer yet."""
    write_json(folder / FILE, asdict(served))


def forget_served(folder: Path) -> None:
    """Nothing is served any more."""
    (folder / FILE).unlink(missing_ok=True)


def answers(address: str) -> bool:
    """Whether something listens there; cheap enough to ask on every start."""
    place = urllib.parse.urlsplit(address)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        with socket.create_connection((place.hostname or HOST, port), timeout=0.5):
            return True
    except OSError:
        return False


def responds(url: str) -> bool:
    """Whether a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
