"""What every test can count on: no telemetry, nothing written outside a temporary folder, fast tests first."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HOME = tempfile.TemporaryDirectory(prefix="dconrec-tests-")
_SETTINGS = {
    "DO_NOT_TRACK": "true",  # MLflow takes the word alone, not 1
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_TRACKING_URI": f"sqlite:///{_HOME.name}/mlflow.db",
    "PREFECT_HOME": f"{_HOME.name}/prefect",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Repositories made by tests belong to nobody in particular and follow no setting of this machine.
    "GIT_AUTHOR_NAME": "tests",
    "GIT_AUTHOR_EMAIL": "tests@example.com",
    "GIT_COMMITTER_NAME": "tests",
    "GIT_COMMITTER_EMAIL": "tests@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "MPLBACKEND": "agg",
}
if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread each, and for whatever they start: two workers with two threads each wait for one another on two cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(_SETTINGS)  # before anything below imports torch, Prefect, MLflow or DVC
for _leaked in ("DVC_STAGE", "DVC_ROOT", "GIT_DIR", "GIT_WORK_TREE", "PREFECT_API_URL"):
    os.environ.pop(_leaked, None)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from dconrec_core.splitting import random_split  # noqa: E402
from dconrec_core.types import Interactions, Split  # noqa: E402

ROOT = Path(__file__).parents[1]
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, max_examples=50, database=None, **COMMON)
settings.register_profile("search", max_examples=2000, **COMMON)  # HYPOTHESIS_PROFILE=search: look for new failures
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick answers first: unmarked tests, then the slow ones, then the browser."""
    items.sort(
        key=lambda item: (item.get_closest_marker("browser") is not None, item.get_closest_marker("slow") is not None)
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(autouse=True)
def _same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests start in the project's folder, and one that leaves it is brought back."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def planted() -> Interactions:
    """Two tastes: even users like even items, odd users odd ones; each has half of the 20 items it likes.

    So the right answer is known: what a user has not seen and should get shares the user's parity.
    """
    n_users, n_items = 60, 40
    rng = np.random.default_rng(7)
    liked = [2 * rng.permutation(n_items // 2)[: n_items // 4] + user % 2 for user in range(n_users)]
    users = np.repeat(np.arange(n_users), [len(items) for items in liked])
    interactions = Interactions.of(users, np.concatenate(liked), n_users, n_items)
    for shared in (interactions.users, interactions.items):
        shared.flags.writeable = False  # a test that changes them in place fails, and not a later one
    return interactions


@pytest.fixture(scope="session")
def planted_split(planted: Interactions) -> Split:
    """``planted``, 8 : 1 : 1 per user."""
    return random_split(planted, valid=0.1, test=0.1, seed=0)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One temporary Prefect server and database for all tests that run a flow."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
