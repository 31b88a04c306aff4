import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dconrec_core.atomic import write_text
from tasks.params import PipelineParams
from tasks.report import report
from tests.browser.conftest import PATIENCE, Browser
from tests.tasks.report_files import MODELS, SETS, fabricate

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PARAMS = PipelineParams.model_validate(
    {
        "dataset": {"name": "toy"},
        "teacher": {"name": "ease"},
        "condense": {"name": "dconrec", "ratio": 0.25},
        "evaluate": {"models": {model: {} for model in MODELS}, "baselines": ["random"], "seeds": [0]},
    }
)


@dataclass(frozen=True)
class Site:
    """A running MLflow server and what was registered in it."""

    address: str
    registration: dict[str, str]

    def page(self, path: str) -> str:
        return f"{self.address}/#/{path}"


@pytest.fixture(scope="module")
def site(workplace: Path) -> Iterator[Site]:
    """The real server over a store that the real register stage filled."""
    mlflow = pytest.importorskip("mlflow")
    from tasks.register import register

    files = fabricate(workplace, seeds=(0,))
    write_text(files.condensed / "card.md", "# toy, condensed\n\nA card for people.\n")
    report(files, files.report)
    store = f"sqlite:///{workplace / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        register(PARAMS, files, files.registration)
        mlflow.set_tracking_uri(None)
    with _server(store, workplace) as address:
        yield Site(address, json.loads(files.registration.read_text()))


class _server:
    """``mlflow server`` on a free port of this machine, stopped with everything it started."""

    def __init__(self, store: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address, self.log = f"http://127.0.0.1:{port}", folder / "server.log"
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "mlflow/artifacts")]
        # Without job execution there is one process to start, not nine.
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | quiet, stdout=log, stderr=log, cwd=folder, start_new_session=True
            )

    def __enter__(self) -> str:
        deadline = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return self.address
            except OSError:
                time.sleep(0.3)
        self.__exit__()
        pytest.fail(f"mlflow server did not start: {self.log.read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=30)


def test_runs_page_shows_the_run_with_its_trainings_nested(browser: Browser, site: Site):
    browser.open(site.page(f"experiments/{site.registration['experiment_id']}/runs?workflowType=machine_learning"))
    browser.wait_for(site.registration["run_name"])
    expand = "document.querySelector(arguments[0]).closest('[role=gridcell]').querySelector('button').click()"
    browser.run(expand, f'[role=gridcell] a[href$="{site.registration["run_id"]}"]')
    browser.wait_for("bprmf on condensed, seed 0", "lightgcn on full, seed 0", "teacher ease", "14 matching runs")


def test_run_page_shows_params_and_metrics(browser: Browser, site: Site):
    run = f"experiments/{site.registration['experiment_id']}/runs/{site.registration['run_id']}"
    browser.open(site.page(run))
    browser.wait_for(site.registration["run_name"], "condense.ratio", "bprmf/condensed/ndcg_at_10")
    condensed = MODELS["bprmf"] * SETS["condensed"]
    browser.wait_for(f"{condensed:.4f}"[:5])


def test_registered_model_page_shows_the_champion(browser: Browser, site: Site):
    assert site.registration["champion"] is True
    browser.open(site.page(f"models/{site.registration['model']}"))
    browser.wait_for(site.registration["model"], "champion", f"Version {site.registration['version']}")


def test_version_page_shows_the_card(browser: Browser, site: Site):
    browser.open(site.page(f"models/{site.registration['model']}/versions/{site.registration['version']}"))
    browser.wait_for("A card for people.", "condensed.sha256")
