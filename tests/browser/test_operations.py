"""As a new user has it: serve, deploy, a scheduled run that nobody watches, and the pages that show it."""

import json
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.params import write_changes
from flows.served import Served
from tests.browser.conftest import PATIENCE, Browser
from tests.flows.project import call, make_project
from tests.services.serving import ask, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVERY_NIGHT, EVERY_MINUTE = '"0 3 * * *"', '"* * * * *"'


@dataclass(frozen=True)
class Site:
    """What `make serve` serves, after a scheduled run."""

    folder: Path
    served: Served
    said: str
    deployed: list[str]
    run: dict[str, Any]

    @property
    def registration(self) -> dict[str, Any]:
        return json.loads((self.folder / "results/registration.json").read_text())

    def mlflow(self, page: str) -> str:
        return f"{self.served.mlflow}/#/{page}"

    def search(self, **query: Any) -> list[dict[str, Any]]:
        return ask(f"{self.served.mlflow}/api/2.0/mlflow/runs/search", query)["runs"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`make serve`, `make deploy` (twice) with a schedule that is due within the minute, its first run; then Ctrl-C."""
    folder = make_project(tmp_path_factory.mktemp("operations") / "project")
    write_changes(folder, {"registration.gate.min_quality": 0.5})  # a champion is to be seen, be it as small as this
    plan = (folder / "prefect.yaml").read_text()
    assert plan.count(EVERY_NIGHT) == 1
    (folder / "prefect.yaml").write_text(plan.replace(EVERY_NIGHT, EVERY_MINUTE))
    with serving(folder) as (served, said):
        deployed = [deploy(folder)]
        scheduled_run(served, folder, "RUNNING", "COMPLETED")
        deployed.append(deploy(folder))  # while it runs
        yield Site(folder, served, said, deployed, scheduled_run(served, folder, "COMPLETED"))


def deploy(folder: Path) -> str:
    return call(folder, sys.executable, "-m", "flows.deploy").stdout


def scheduled_run(served: Served, folder: Path, *states: str) -> dict[str, Any]:
    """The first run that the schedule started, when it is in one of the states."""
    wanted = {"deployments": {"name": {"any_": ["nightly"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    deadline = time.monotonic() + 60 + 2 * PATIENCE
    first: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        first = [run for run in ask(f"{served.api}/flow_runs/filter", wanted) if run["auto_scheduled"]][:1]
        if first and first[0]["state_type"] in states:
            return first[0]
        if first and first[0]["state_type"] in ("FAILED", "CRASHED"):
            break
        time.sleep(1)
    log = (folder / ".prefect/logs/worker.log").read_text()
    pytest.fail(f"no scheduled run is {' or '.join(states)}: {first}\n{log[-3000:]}")


def test_prefect_shows_the_scheduled_run_with_its_stages_and_artifacts(browser: Browser, site: Site):
    browser.open(f"{site.served.prefect}/runs")
    browser.wait_for(site.run["name"], "nightly", "machine", "Completed")
    (run,) = ask(f"{site.served.api}/flow_runs/filter", {"flows": {"name": {"any_": ["dconrec"]}}, "limit": 1})
    browser.open(f"{site.served.prefect}/runs/flow-run/{run['id']}")
    browser.wait_for(run["name"], "9 Task runs")
    browser.run("document.querySelector('.p-tab#artifacts').click()")
    browser.wait_for("results", "report", "mlflow-run", "registered-set")


def test_prefect_shows_every_deployment_once_and_a_form_of_its_parameters(browser: Browser, site: Site):
    names = ["backfill", "compare", "nightly", "on-new-data"]
    assert all([line.split()[0] for line in said.splitlines()[1:]] == names for said in site.deployed)
    found = {one["name"]: one for one in ask(f"{site.served.api}/deployments/filter", {})}
    assert {name: len(one["schedules"]) for name, one in found.items()} == dict(zip(names, (0, 0, 1, 1), strict=True))
    browser.open(f"{site.served.prefect}/deployments/deployment/{found['backfill']['id']}/run")
    browser.wait_for("ratios (Optional)", "Values of condense.ratio; none for that of params.yaml.", "seeds (Optional)")


def test_mlflow_shows_the_champion(browser: Browser, site: Site):
    assert site.registration["champion"] is True
    assert f"#/models/{site.registration['model']}/versions/" not in site.said  # nothing was there at first
    browser.open(site.mlflow(f"models/{site.registration['model']}"))
    browser.wait_for(site.registration["model"], "champion", f"Version {site.registration['version']}")


def test_mlflow_compares_two_runs(browser: Browser, site: Site):
    experiment, parent = site.registration["experiment_id"], site.registration["run_id"]
    children = site.search(experiment_ids=[experiment], filter=f"tags.mlflow.parentRunId = '{parent}'")
    two = [child["info"] for child in children if "bprmf on" in child["info"]["run_name"]][:2]
    assert len(two) == 2
    runs = json.dumps([info["run_id"] for info in two])
    query = urllib.parse.urlencode({"runs": runs, "experiments": json.dumps([experiment])})
    browser.open(site.mlflow(f"compare-runs?{query}"))
    browser.wait_for("Comparing 2 Runs", *(info["run_name"] for info in two))


def test_status_says_what_ran_and_what_comes_next(site: Site):
    said = call(site.folder, sys.executable, "-m", "flows.status").stdout
    assert site.served.prefect in said
    assert site.served.mlflow in said
    (nightly,) = [line for line in said.splitlines() if line.startswith("nightly")]
    assert "* * * * *" in nightly
    assert re.search("Completed|Running|Pending|Submitting", nightly)  # the next minute's run may have begun
