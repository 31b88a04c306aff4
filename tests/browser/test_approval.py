"""A person decides in Prefect's own page: a nightly run pauses, the form is filled in, the set becomes champion."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from flows.params import write_changes
from flows.served import HOST, PREFECT_PORT, Served
from tests.browser.conftest import PATIENCE, Browser
from tests.flows.project import environment, make_project
from tests.services.serving import ask, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REASON = 'looked at the report; "tail users" gain'
BUTTON = "//button[normalize-space()='{}']"


@dataclass(frozen=True)
class Night:
    """A nightly run that waits for a person, and what serves its page."""

    served: Served
    process: subprocess.Popen[str]
    run: dict[str, Any]

    def registry(self, what: str) -> Any:
        """What MLflow answers about its registered models."""
        return ask(f"{self.served.mlflow}/api/2.0/mlflow/{what}")

    def aliases(self) -> dict[str, str]:
        """Versions of the one model by alias."""
        (model,) = self.registry("registered-models/search?max_results=10")["registered_models"]
        return {one["alias"]: one["version"] for one in model.get("aliases", [])}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """Pages alone are served, Prefect's on another port than usual; the flow runs in a process of its own."""
    folder = make_project(tmp_path / "project")
    write_changes(folder, {"registration.gate.min_quality": 0.5})
    with closing(socket.socket()) as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended is no hindrance
        with suppress(OSError):  # taken anyway
            usual.bind((HOST, PREFECT_PORT))
            usual.listen()
        with serving(folder, "--pages") as (served, _):
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.nightly", "--approve"], cwd=folder, env=environment(),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            try:
                yield Night(served, process, paused(served, process))
            finally:
                process.kill()
                process.wait()


def paused(served: Served, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The flow run, once it has paused."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
    end = time.monotonic() + 6 * PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if runs := ask(f"{served.api}/flow_runs/filter", wanted):
            run: dict[str, Any] = runs[0]
            return run
        time.sleep(0.5)
    process.kill()
    pytest.fail(f"the run never paused: {process.communicate()[0][-2000:]}")


def test_a_person_makes_a_version_champion_in_the_page_and_the_reason_is_kept(browser: Browser, night: Night):
    assert not night.served.prefect.endswith(f":{PREFECT_PORT}")
    waiting = night.aliases()
    assert waiting.keys() == {"challenger"}
    browser.open(f"{night.served.prefect}/runs/flow-run/{night.run['id']}")
    browser.wait_for(night.run["name"], "Paused", "Resume")
    browser.driver.find_element(By.XPATH, BUTTON.format("Resume")).click()
    browser.wait_for("Make version 1 of synthetic-condensed champion?", "min_quality", "above_baselines", "Reason")
    form = browser.driver.find_element(By.CSS_SELECTOR, ".p-modal")
    assert form.find_element(By.CSS_SELECTOR, "input[type=checkbox]").is_selected()  # to promote is what is proposed
    form.find_element(By.TAG_NAME, "textarea").send_keys(REASON)
    form.find_element(By.XPATH, f".{BUTTON.format('Submit')}").click()
    browser.wait_for("Completed")
    said, _ = night.process.communicate(timeout=PATIENCE)
    assert night.process.returncode == 0, said
    assert said.splitlines()[-1] == "version 1 promoted by a person"
    assert night.aliases() == {"champion": waiting["challenger"]}
    version = night.registry("model-versions/get?name=synthetic-condensed&version=1")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert (tags["decision"], tags["decision.reason"], tags["decision.by"]) == ("promoted", REASON, "a person")
