"""``prefect.yaml`` and what stands behind it, against a real Prefect server."""

import hashlib
import importlib
import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ruamel.yaml import YAML

from tests.flows.project import ROOT, call, commit, git

pytestmark = pytest.mark.slow

DEPLOYMENTS = {entry["name"]: entry for entry in YAML(typ="safe").load(ROOT / "prefect.yaml")["deployments"]}


def flow_of(name):
    path, _, function = DEPLOYMENTS[name]["entrypoint"].partition(":")
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), function)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_deployment_names_a_flow_a_queue_and_explains_its_parameters(name):
    from prefect.utilities.callables import parameter_schema

    from flows.pool import POOL, QUEUES

    flow = flow_of(name)
    parameters = parameter_schema(flow.fn).model_dump()["properties"]
    assert all(parameter.get("description") for parameter in parameters.values()), parameters
    flow.validate_parameters(DEPLOYMENTS[name].get("parameters", {}))
    assert DEPLOYMENTS[name]["work_pool"]["name"] == POOL
    assert DEPLOYMENTS[name]["work_pool"]["work_queue_name"] in QUEUES


def test_what_can_be_started_by_new_data_is_deployed():
    assert DEPLOYMENTS["on-new-data"]["parameters"]["start"] in DEPLOYMENTS


@pytest.fixture
def client(prefect_server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployed(client):
    """A deployment in the pool; ``run`` gives it one more flow run in some state."""
    from prefect import flow

    from flows import pool

    @flow(name="something")
    def something():
        return None

    pool.ensure_pool(client)
    flow_id = client.create_flow(something)
    deployment = client.create_deployment(flow_id, "nightly", work_pool_name=pool.POOL, work_queue_name="machine")

    runs = []

    def run(state):
        runs.append(client.create_flow_run_from_deployment(deployment, state=state))
        return runs[-1]

    yield SimpleNamespace(run=run)
    for one in runs:
        client.delete_flow_run(one.id)
    client.delete_deployment(deployment)


def test_the_pool_is_made_once_with_one_run_at_a_time_on_the_machine(client, deployed):
    from flows import pool

    pool.ensure_pool(client)
    limits = {queue.name: queue.concurrency_limit for queue in client.read_work_queues(work_pool_name=pool.POOL)}
    assert limits == {"default": None, "machine": 1, "watch": 1, "grid": None}
    assert not pool.worker_is_online(client)


def test_a_run_that_was_cut_off_goes_back_to_its_place_and_one_that_was_cancelled_ends(client, deployed):
    from prefect.states import Cancelling, Paused, Running

    from flows import pool

    cut, asking, cancelled = deployed.run(Running()), deployed.run(Running()), deployed.run(Cancelling())
    client.set_flow_run_state(asking.id, Paused(timeout_seconds=3600), force=True)  # what `nightly` asks a person in
    assert {run.id for run in pool.unfinished(client)} == {cut.id, asking.id, cancelled.id}
    pool.requeue(client, pool.unfinished(client))
    for run in (cut, asking):
        resumed = client.read_flow_run(run.id)
        assert (resumed.state_name, resumed.state_type.value) == ("Resuming", "SCHEDULED")
        assert resumed.next_scheduled_start_time <= datetime.now(UTC)
    assert client.read_flow_run(cancelled.id).state_name == "Cancelled"
    assert pool.unfinished(client) == []
    assert pool.drop_missed(client) == 0  # it is no start that was missed


def test_a_run_that_ended_while_its_worker_was_stopped_is_not_started_again(client, deployed):
    from prefect.states import Cancelled, Completed, Crashed, Failed, Running

    from flows import pool

    ends = [Completed(), Cancelled(), Failed(), Crashed()]
    runs = [deployed.run(Running()) for _ in ends]
    cut = pool.unfinished(client)
    for run, end in zip(runs, ends, strict=True):
        client.set_flow_run_state(run.id, end, force=True)
    assert pool.requeue(client, cut) == [runs[-1].name]
    states = [client.read_flow_run(run.id).state_name for run in runs]
    assert states == ["Completed", "Cancelled", "Failed", "Resuming"]


def test_the_runs_of_another_machine_are_left_alone(client, deployed):
    from prefect.states import Running

    from flows import pool

    elsewhere, here = deployed.run(Running()), deployed.run(Running())
    client.update_flow_run_labels(elsewhere.id, {pool.WORKER_LABEL: f"not {pool.worker_name()}"})
    client.update_flow_run_labels(here.id, {pool.WORKER_LABEL: pool.worker_name()})
    assert [run.id for run in pool.unfinished(client)] == [here.id]


def test_a_run_that_is_cut_off_again_and_again_is_given_up(client, deployed):
    from prefect.states import Running, Scheduled

    from flows import pool

    run = deployed.run(Scheduled())
    for _ in range(pool.STARTS):
        client.set_flow_run_state(run.id, Running(), force=True)
        client.set_flow_run_state(run.id, Scheduled(), force=True)
    client.set_flow_run_state(run.id, Running(), force=True)
    assert pool.requeue(client, pool.unfinished(client)) == []
    assert client.read_flow_run(run.id).state_name == "Crashed"


def test_of_missed_starts_the_latest_is_made_up_for(client, deployed):
    from prefect.client.schemas.objects import FlowRun

    from flows import pool

    def of(minutes, **settings):
        time = datetime.now(UTC) - timedelta(minutes=minutes)
        return SimpleNamespace(
            id=minutes, deployment_id=1, auto_scheduled=True, state_name="Late", expected_start_time=time, **settings
        )

    assert FlowRun.model_fields.keys() >= {"id", "deployment_id", "auto_scheduled", "expected_start_time"}
    deleted = []
    stand_in = SimpleNamespace(
        read_flow_runs=lambda offset, **_: [of(30), of(10), of(20)][offset:], delete_flow_run=deleted.append
    )
    assert pool.drop_missed(stand_in) == 2
    assert deleted == [30, 20]


@pytest.mark.parametrize("at_home", [True, False])
def test_a_second_worker_leaves_alone_what_is_due_in_the_grid(at_home, client, monkeypatch):
    from flows import pool
    from flows.worker import start_worker

    dropped = []
    monkeypatch.setattr(pool, "drop_missed", lambda client: dropped.append("starts") or 1)
    monkeypatch.setenv("PREFECT_API_URL", str(client.api_url))  # which it sets
    served = SimpleNamespace(api=str(client.api_url), tracking="sqlite://")
    start_worker(SimpleNamespace(served=served, start=lambda *_, **__: None, wait_until=lambda *_: None), at_home)
    assert dropped == ["starts"] * at_home


def test_a_change_of_the_data_asks_for_one_run(client, deployed):
    from flows import watch

    first, again = watch.ask_for("nightly", "change 1"), watch.ask_for("nightly", "change 1")
    assert first == again
    assert watch.ask_for("nightly", "change 2") != first
    with pytest.raises(Exception, match="no deployment 'nihgtly'; see `make status`"):
        watch.ask_for("nihgtly", "change 1")


def test_a_look_waits_until_the_files_are_at_rest(prefect_server, monkeypatch, tmp_path):
    from flows import watch
    from tasks.versioning import BusyError

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data/input/ratings.csv"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    asked = []
    monkeypatch.setattr(watch, "is_new", lambda: asked.append("DVC") or True)
    monkeypatch.setattr(watch, "ask_for", lambda start, change: f"{start} for {change}")
    assert watch.watch(return_state=True).name == "Unsettled"
    assert asked == []  # it would hold its lock while it reads what is being copied
    for path in (file, file.parent):
        os.utime(path, (1e9, 1e9))
    before = watch.fingerprint(Path("data/input"))
    state = watch.watch(return_state=True)
    assert (state.name, state.message) == ("Started", f"nightly for {before}")
    file.write_text("2")
    assert watch.fingerprint(Path("data/input")) != before
    monkeypatch.setattr(watch, "is_new", lambda: (_ for _ in ()).throw(BusyError("DVC is busy")))
    state = watch.watch(rest_seconds=0, return_state=True)
    assert (state.name, state.message) == ("Unsettled", "DVC is busy; the next look decides")


def test_a_time_of_another_clock_hides_no_copy_and_counts_as_none(tmp_path):
    from flows.watch import seconds_at_rest

    for name, ahead in (("copied", 0), ("from a wrong clock", 86400)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() + ahead,) * 2)
    assert seconds_at_rest(tmp_path) < 20  # of what is being copied, not of the newest time
    (tmp_path / "copied").unlink()
    os.utime(tmp_path, (1e9, 1e9))
    assert seconds_at_rest(tmp_path) == pytest.approx(86400, abs=20)


def test_a_look_passes_over_what_is_gone(tmp_path, monkeypatch):
    from flows.watch import fingerprint, seconds_at_rest

    (tmp_path / "ratings.csv").touch()
    before = fingerprint(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    listed = os.walk(tmp_path)
    monkeypatch.setattr(os, "walk", lambda folder: ((*rest, [*files, "removed"]) for *rest, files in listed))
    assert seconds_at_rest(tmp_path) < 20
    monkeypatch.undo()
    assert fingerprint(tmp_path) == before


def test_a_file_that_comes_back_with_its_old_time_is_another_change(tmp_path):
    from flows.watch import fingerprint

    found = []
    for content in ("1", "2", "1", "2"):
        (tmp_path / "ratings.csv").write_text(content)
        os.utime(tmp_path / "ratings.csv", (1e9 + int(content), 1e9 + int(content)))
        found += [fingerprint(tmp_path), fingerprint(tmp_path)]
        time.sleep(0.02)  # the clock of a file system ticks slowly
    assert found[::2] == found[1::2]
    assert len(set(found)) == 4


def test_status_lists_deployments_and_what_waits(client, deployed):
    from prefect.states import Running, Scheduled

    from flows import status

    deployed.run(Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=3)))
    assert "nightly     by hand" in status.deployments()
    assert "waiting " in status.current()
    run = deployed.run(Running())
    assert f"running        {run.name} (Running" in status.current()


STAGE = """
import json, pathlib, re
params = pathlib.Path("params.yaml").read_text()
ratio = float(re.search("^  ratio: ([0-9.]+)", params, re.M)[1])
start = re.search("^  start: ([0-9a-f]{64})$", params, re.M)
assert start is None or pathlib.Path("data/champions", start[1], "card.json").is_file(), "nothing to start from"
assert ratio < 0.5, "ratio too large for this stage"
assert pathlib.Path("data/input/ratings.csv").is_file()
condensed = {"ndcg@10": ratio, "quality": 0.9 if start else 0.8}
pathlib.Path("metrics.json").write_text(json.dumps({"bprmf": {"condensed": condensed}, "popularity": {}}))
"""


@pytest.fixture
def one_stage(monkeypatch, tmp_path):
    """A DVC project with one stage that reads one param, and the user's own file."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  ingest:\n    cmd: python3 stage.py\n    deps: [data/input]\n    params: [condense.ratio]\n"
        "    metrics: [metrics.json: {cache: false}]\n"
    )
    (tmp_path / "data/input").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("/data/input/?*\n!/data/input/README.md\n!/data/input/*.dvc\n")
    (tmp_path / "data/input/README.md").touch()
    (tmp_path / "data/input/ratings.csv").touch()
    git(tmp_path, "init", "--quiet")
    call(tmp_path, "dvc", "init", "--quiet")
    commit(tmp_path, "start")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_backfill_runs_every_combination_in_a_copy_and_goes_on_after_a_failure(client, one_stage):
    from flows.backfill import backfill

    before = (one_stage / "params.yaml").read_bytes()
    state = backfill(ratios=[0.1, 0.6, 0.2], changes={"device": "cpu"}, return_state=True)
    assert state.name == "Stopped"
    assert state.message.startswith("1 of 3 runs failed: device=cpu condense.ratio=0.6: ")
    assert "failed to run: python3 stage.py" in state.message
    run = state.state_details.flow_run_id
    tables = [one for one in client.read_artifacts() if one.key == "backfill" and one.flow_run_id == run]
    table = max(tables, key=lambda one: one.created)  # each adds a row
    assert [table.data.count(f'"ndcg@10": {value}') for value in ("0.1", "0.2", "0.6")] == [1, 1, 0]
    runs = git(one_stage, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    copies = [git(one_stage, "show", f"{run}:params.yaml") for run in runs]
    assert ["name: ml-100k-condensed-backfill #" in one for one in copies] == [True, True]
    assert (one_stage / "params.yaml").read_bytes() == before
    assert git(one_stage, "status", "--porcelain") == ""
    assert not (one_stage / "metrics.json").exists()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"dataset.name": "ml-1m"}, "ml-1m-condensed-backfill"),
        ({"registration": {"approval": True}}, "ml-100k-condensed-backfill"),
        ({"registration.name": "ml-100k-condensed"}, "ml-100k-condensed"),
        ({"registration": {"name": "mine"}}, "mine"),
        ({"registration": {"experiment": "x"}, "dataset.name": "ml-1m"}, "ml-1m-condensed-backfill"),
    ],
)
def test_a_backfilled_set_has_a_registered_name_of_its_own_unless_it_is_given_one(one_stage, changes, name):
    from flows.backfill import settings_of

    assert f"++registration.name='{name}'" in settings_of(changes)


def test_backfill_starts_anew_after_a_warm_night_unless_it_is_told_where_from(client, one_stage):
    from flows.backfill import backfill
    from flows.params import write_changes

    champion = "0123456789abcdef" * 4
    write_changes(one_stage, {"condense.start": champion})  # as nightly does
    commit(one_stage, "a warm night")
    (one_stage / "data/champions" / champion).mkdir(parents=True)
    (one_stage / "data/champions" / champion / "card.json").touch()
    before = (one_stage / "params.yaml").read_bytes()
    for ratio, changes, quality in (0.3, {}, 0.8), (0.4, {"condense.start": champion}, 0.9):
        state = backfill(ratios=[ratio], changes=changes, return_state=True)
        assert state.is_completed(), state.message
        (table,) = [one for one in client.read_artifacts() if one.key == "backfill" and f": {ratio}" in str(one.data)]
        assert f'"quality": {quality}' in table.data
    assert (one_stage / "params.yaml").read_bytes() == before


def test_a_combination_that_times_out_leaves_no_training_behind(one_stage, monkeypatch):
    from flows import backfill

    sleeps = "import os, time; print('training', os.getpid(), flush=True); time.sleep(60)"
    (one_stage / "stage.py").write_text(sleeps)
    commit(one_stage, "a stage that takes long")
    pids = []

    def info(line):
        if line.startswith("training "):
            pids.append(int(line.split()[1]))
            raise TimeoutError

    monkeypatch.setattr(backfill, "get_run_logger", lambda: SimpleNamespace(info=info))
    with pytest.raises(TimeoutError):
        backfill.run_experiment("backfill-of-the-test", {})
    assert len(pids) == 1
    with suppress(psutil.NoSuchProcess):  # or its parent, which is gone too, has not been told yet
        assert psutil.Process(pids[0]).status() == psutil.STATUS_ZOMBIE


def test_backfill_checks_every_combination_before_the_first_one_runs(prefect_server, one_stage):
    from flows.backfill import backfill

    state = backfill(ratios=[0.1], condensers=["auto", "atuo"], return_state=True)
    assert "did you mean 'auto'?" in state.message
    assert not (one_stage / ".dvc/tmp/exps").exists()


@pytest.fixture
def ran(one_stage, tmp_path_factory):
    """Two stages, of which the ratio changes the second alone; reads the stages that have run so far, in order."""
    runs = tmp_path_factory.mktemp("ran") / "stages"
    (one_stage / "dvc.yaml").write_text(
        f"stages:\n  ingest:\n    cmd: echo ingest >> {runs} && cp data/input/ratings.csv raw.csv\n"
        "    deps: [data/input]\n    outs: [raw.csv]\n"
        f"  condense:\n    cmd: echo condense >> {runs} && python3 stage.py\n"
        "    deps: [raw.csv]\n    params: [condense.ratio]\n    metrics: [metrics.json]\n"
    )
    with (one_stage / ".gitignore").open("a") as ignored:
        ignored.write("/raw.csv\n/metrics.json\n")
    commit(one_stage, "two stages")
    return lambda: runs.read_text().split()


def experiments(project):
    """Commit of each, by name."""
    lines = git(project, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    return {name.rpartition("/")[2]: made for name, made in (line.split() for line in lines)}


def test_backfill_computes_once_what_combinations_share_and_nothing_that_was_computed(client, one_stage, ran):
    from flows.backfill import backfill

    assert backfill(ratios=[0.1, 0.2], return_state=True).is_completed()
    assert ran() == ["ingest", "condense", "condense"]
    assert backfill(ratios=[0.2, 0.1], return_state=True).is_completed()
    assert ran() == ["ingest", "condense", "condense"]
    assert len(experiments(one_stage)) == 4
    tables = [str(one.data) for one in client.read_artifacts() if one.key == "backfill"]
    shown = {name for name in experiments(one_stage) for table in tables if f'"{name}"' in table}
    assert len(shown) == 4  # those that were not run, too


def test_a_backfill_that_was_cut_off_keeps_what_it_had_finished(monkeypatch, client, one_stage, ran):
    from flows.backfill import backfill

    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "0692c0ad-0000-4000-8000-0123456789ab")
    assert backfill(ratios=[0.1], return_state=True).is_completed()  # as far as it came
    finished = experiments(one_stage)
    assert list(finished) == ["backfill-0692c0ad-1"]
    (one_stage / "README.md").touch()
    commit(one_stage, "what the checkout has by the time that the run goes on")
    assert backfill(ratios=[0.1, 0.2], return_state=True).is_completed()
    assert sorted(experiments(one_stage)) == ["backfill-0692c0ad-1", "backfill-0692c0ad-2"]
    assert experiments(one_stage).items() > finished.items()
    assert ran() == ["ingest", "condense", "condense"]
    (table,) = [one.data for one in client.read_artifacts() if "backfill-0692c0ad-2" in str(one.data)]
    assert [table.count(f'"ndcg@10": {ratio}') for ratio in (0.1, 0.2)] == [1, 1]


def test_backfill_takes_the_users_file_as_it_is_now_whatever_version_dvc_knows(client, one_stage, ran):
    from flows.backfill import backfill

    file = one_stage / "data/input/ratings.csv"
    file.write_text("1,2\n")
    call(one_stage, "dvc", "add", "--quiet", str(file))
    commit(one_stage, "the first version")
    file.write_text("1,2\n3,4\n")
    before = git(one_stage, "status", "--porcelain")
    assert backfill(ratios=[0.1], return_state=True).is_completed()
    (made,) = experiments(one_stage).values()
    md5 = hashlib.md5(b"1,2\n3,4\n", usedforsecurity=False).hexdigest()
    assert f"path: raw.csv\n      hash: md5\n      md5: {md5}" in git(one_stage, "show", f"{made}:dvc.lock")
    assert file.read_text() == "1,2\n3,4\n"
    assert git(one_stage, "status", "--porcelain") == before


def test_new_data_are_what_dvc_has_not_ingested(one_stage):
    from flows.watch import is_new

    call(one_stage, "dvc", "repro", "--quiet")
    assert not is_new()
    (one_stage / "data/input/ratings.csv").touch()
    assert not is_new()
    (one_stage / "data/input/ratings.csv").write_text("one more")
    assert is_new()
