"""Beyond one machine, against the real things: PostgreSQL, an S3 server, a worker in a second checkout."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dconrec_core.condensation.dataset import dataset_sha256
from flows.processes import marked
from flows.served import Served
from tests.flows.project import call, commit, dvc, git, make_project, outputs
from tests.services import postgres, s3
from tests.services.serving import ask, serving

pytestmark = pytest.mark.slow

PASSWORD, SECRET = "pl4nted-passw0rd", "pl4nted-s3cret"


@dataclass(frozen=True)
class Services:
    """The servers that a company has already."""

    database: postgres.Postgres
    storage: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """What docs/scaling.md tells to set before `make serve`."""
        return {
            **self.storage,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database.url("asyncpg", "prefect"),
            "MLFLOW_BACKEND_STORE_URI": self.database.url("psycopg2", "mlflow"),
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{s3.BUCKET}/mlflow",
        }


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    programs = postgres.programs()
    if programs is None:
        give_up: Callable[[str], Any] = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no PostgreSQL server: apt-get install postgresql")
    with postgres.running(programs, PASSWORD, "prefect", "mlflow") as database, s3.running(SECRET) as storage:
        yield Services(database, storage)


@dataclass(frozen=True)
class Site:
    """A checkout that is served from PostgreSQL and S3, after one pipeline run."""

    folder: Path
    served: Served
    said: str

    @property
    def registration(self) -> dict[str, Any]:
        return json.loads((self.folder / "results/registration.json").read_text())


@pytest.fixture(scope="module")
def site(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = make_project(tmp_path_factory.mktemp("scaling") / "home")
    plan = folder / "prefect.yaml"
    before = plan.read_text()
    by_hand = "entrypoint: flows/compare.py:compare\n    work_pool: "
    assert before.count(f"{by_hand}*machine") == 1
    plan.write_text(before.replace(f"{by_hand}*machine", f"{by_hand}*grid"))
    dvc(folder, "remote", "add", "--default", "storage", f"s3://{s3.BUCKET}/dvc")
    commit(folder, "storage")
    with serving(folder, settings=services.settings) as (served, heard):
        # In another terminal, where nothing is set: what is served says where to write.
        ran = call(folder, sys.executable, "-m", "flows.pipeline", "registration.gate.min_quality=0.1")
        deployed = call(folder, sys.executable, "-m", "flows.deploy")
        status = call(folder, sys.executable, "-m", "flows.status")
        commit(folder, "run")
        yield Site(folder, served, "".join([heard, *(done.stdout + done.stderr for done in (ran, deployed, status))]))


def rows(services: Services, database: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg2

    address = services.database.url("psycopg2", database).replace("+psycopg2", "")
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_runs_and_flow_runs_are_in_postgresql_and_no_file_stands_in_for_it(services: Services, site: Site):
    (name,) = rows(services, "mlflow", f"SELECT name FROM runs WHERE run_uuid = '{site.registration['run_id']}'")
    assert name == (site.registration["run_name"],)
    assert ("dconrec",) in rows(services, "prefect", "SELECT f.name FROM flow_run r JOIN flow f ON f.id = r.flow_id")
    assert not list(site.folder.rglob("*.db"))


def test_the_condensed_set_comes_from_s3_with_its_sha256(services: Services, site: Site, tmp_path: Path):
    assert any(key.endswith("/condensed/card.json") for key in s3.keys(services.storage, "mlflow/"))
    done = call(site.folder, sys.executable, "-m", "flows.consume", "--out", str(tmp_path / "set"))
    sha256 = site.registration["sha256"]
    assert done.stdout.endswith(f"SHA-256 {sha256}\n")
    assert dataset_sha256(tmp_path / "set") == sha256


def test_no_password_is_shown_noted_or_passed_on(services: Services, site: Site):
    secrets = (PASSWORD.encode(), SECRET.encode())

    def tells(content: bytes) -> bool:
        return any(secret in content for secret in secrets)

    assert not tells(site.said.encode())
    logs = [path for path in site.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in logs} >= {"mlflow.log", "prefect.log", "worker.log", "served.json"}
    assert [path for path in logs if tells(path.read_bytes())] == []
    with urllib.request.urlopen(f"{site.served.api}/admin/settings", timeout=30) as answer:
        assert not tells(answer.read())
    pids = marked(site.served.mark)
    assert len(pids) >= 4
    assert [pid for pid in pids if tells(Path(f"/proc/{pid}/cmdline").read_bytes())] == []
    of_worker = [Path(f"/proc/{pid}/environ").read_bytes() for pid in marked(f"{site.served.mark}/worker")]
    assert [one for one in of_worker if PASSWORD.encode() in one] == []
    assert of_worker
    for database in ("prefect", "mlflow"):  # parameters, tags, logs, events, whatever else there is
        assert not tells(dump(services, database))


def dump(services: Services, database: str) -> bytes:
    command = [
        str(Path(str(postgres.programs())) / "pg_dump"), "--host", "127.0.0.1", "--username", postgres.USER,
        "--port", str(services.database.port), database,
    ]  # fmt: skip
    done = subprocess.run(command, env=os.environ | {"PGPASSWORD": PASSWORD}, capture_output=True, check=True)
    assert len(done.stdout) > 100_000
    return done.stdout


def test_a_wrong_password_ends_serve_and_is_told_to_nobody(services: Services, tmp_path: Path):
    """The servers say what PostgreSQL says, which does not repeat the password."""
    folder, wrong = make_project(tmp_path / "home"), "wr0ng-passw0rd"
    settings = services.settings | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": services.database.url("asyncpg", "prefect", wrong),
        "MLFLOW_BACKEND_STORE_URI": services.database.url("psycopg2", "mlflow", wrong),
    }
    done = call(folder, sys.executable, "-m", "flows.serve", "--pages", check=False, settings=settings)
    assert done.returncode == 1
    assert "log says why" in done.stderr
    logs = [path.read_text() for path in (folder / ".prefect/logs").iterdir()]
    assert "password authentication failed" in "".join(logs)
    assert wrong not in "".join([done.stdout, done.stderr, *logs])


def test_dvc_brings_the_same_bytes_back_from_s3(services: Services, site: Site, tmp_path: Path):
    def dvc_s3(folder: Path, *arguments: str) -> None:
        call(folder, sys.executable, "-m", "dvc", *arguments, settings=services.storage)

    before = outputs(site.folder)
    dvc_s3(site.folder, "push")
    assert s3.keys(services.storage, "dvc/")
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(site.folder), str(elsewhere))
    dvc_s3(elsewhere, "pull", "--allow-missing")
    assert outputs(elsewhere) == before
    for lost in ("data/condensed", "data/raw", ".dvc/cache"):
        shutil.rmtree(elsewhere / lost)
    dvc_s3(elsewhere, "pull", "--allow-missing")
    assert outputs(elsewhere) == before


def test_a_worker_of_another_checkout_takes_what_is_in_the_grid(services: Services, site: Site, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(site.folder), str(elsewhere))
    client = {"PREFECT_API_URL": site.served.api, "MLFLOW_TRACKING_URI": site.served.mlflow}
    asked = ("ratios=[0.25]", 'condensers=["random"]', "seeds=[0]")
    with serving(elsewhere, "--worker", settings=client) as (_, heard):
        assert not [secret for secret in (PASSWORD, SECRET) if secret in heard]
        command = [sys.executable, "-m", "prefect", "deployment", "run", "compare/compare", "--watch"]
        parameters = [word for one in asked for word in ("--param", one)]
        done = call(elsewhere, *command, *parameters, settings=client)
    assert "Completed" in done.stdout + done.stderr
    assert (elsewhere / "results/comparison.json").is_file()
    assert not (site.folder / "results/comparison.json").exists()
    (labels,) = rows(services, "prefect", "SELECT r.labels FROM flow_run r WHERE r.work_queue_name = 'grid'")
    names = [one["name"] for one in workers(site.served)]
    assert len(set(names)) == len(names) == 2
    assert labels[0]["prefect.worker.name"] in names


def workers(served: Served) -> list[dict[str, Any]]:
    return ask(f"{served.api}/work_pools/dconrec/workers/filter", {})
