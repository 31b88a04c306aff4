"""The comparison as a flow: a form, cells that are kept, failures that cost their own cell, a run of MLflow each."""

import json
from pathlib import Path

import pytest

from dconrec_core.errors import BudgetError, ConfigError
from tests.flows.project import TINY

pytestmark = pytest.mark.slow


@pytest.fixture
def project(monkeypatch, tmp_path, root, prefect_server):
    """A folder with tiny settings, where the flow runs in this process."""
    from flows.params import parse_changes, write_changes

    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    write_changes(tmp_path, parse_changes(TINY))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow/mlflow.db'}")
    return tmp_path


def run(**changes):
    from flows.compare import compare

    usual = {"ratios": [0.25], "condensers": ["random", "random-users"], "seeds": [0, 1], "workers": 2}
    return compare(**{**usual, **changes}, return_state=True)


def rows():
    return json.loads(Path("results/comparison.json").read_text())["rows"]


def test_cells_are_measured_once_and_remembered_one_nested_run_each(project):
    from mlflow import MlflowClient

    state = run()
    assert state.is_completed(), state.message
    assert state.message.startswith("4 measured, 0 from earlier runs; MLflow run ")
    before = rows()
    state = run(condensers=["random", "random-users", "teacher-top"], seeds=[0])
    assert state.message.startswith("1 measured, 2 from earlier runs; MLflow run ")
    assert [row for row in rows() if row["condenser"] != "teacher-top"] == before
    assert {row["model"] for row in json.loads(Path("results/comparison.full.json").read_text())["rows"]} == {"bprmf"}

    client = MlflowClient(f"sqlite:///{project / 'mlflow/mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("dconrec-comparison").experiment_id])
    parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    nested = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(parents) == 2
    assert {one.data.params["cluster"] for one in parents} == {"threads of one process"}
    assert {one.data.params["condenser"] for one in nested} == {"random", "random-users", "teacher-top"}
    (one,) = [one for one in nested if one.data.params["condenser"] == "random"]
    (shown,) = [row for row in rows() if (row["condenser"], row["seed"]) == ("random", 0)]
    assert f"/#/experiments/{one.info.experiment_id}/runs?workflowType=machine_learning&searchFilter=" in state.message
    columns = {"dataset": "synthetic", "ratio": "0.25", "source_model": "", "downstream_model": "bprmf", "seed": "0"}
    assert columns.items() <= one.data.params.items()
    for metric, name in (("ndcg_at_10", "ndcg@10"), ("recall_at_20", "recall@20"), ("quality", "quality")):
        assert one.data.metrics[metric] == pytest.approx(shown[name])
    assert {"speed_up", "train_seconds", "condense_seconds"} <= one.data.metrics.keys()
    assert {row["inductive"] for row in rows() if row["condenser"] == "random-users"} == {True}


def test_a_cell_that_fails_costs_no_other(project, monkeypatch):
    from tasks.comparison import Comparison

    real = Comparison.measure

    def measure(self, cell):
        if cell.condenser == "random":
            raise BudgetError("no room")
        return real(self, cell)

    monkeypatch.setattr(Comparison, "measure", measure)
    state = run(seeds=[0])
    assert (state.type.value, state.name) == ("FAILED", "Stopped")
    assert state.message == ("1 of 2 cells failed, the others are kept; synthetic 25.0% random bprmf seed 0: no room")
    assert [row["condenser"] for row in rows()] == ["random-users"]


CLOCKED = ("seconds", "speed_up", "break_even", "peak_rss_mb")
"""Parts of the names of columns that depend on the clock or the process."""


def test_dask_processes_give_the_rows_that_threads_give(project):
    from mlflow import MlflowClient

    state = run()
    assert state.is_completed(), state.message
    threads = rows()
    for path in Path("results").glob("comparison*.json"):
        path.unlink()
    state = run(cluster="local")
    assert state.message.startswith("4 measured, 0 from earlier runs; "), state.message

    def timeless(found):
        plain = [{k: v for k, v in row.items() if not any(part in k for part in CLOCKED)} for row in found]
        return sorted(plain, key=lambda row: row["key"])

    assert timeless(rows()) == timeless(threads)
    client = MlflowClient(f"sqlite:///{project / 'mlflow/mlflow.db'}")
    latest = client.search_runs(
        [client.get_experiment_by_name("dconrec-comparison").experiment_id],
        filter_string="params.cluster != ''",
        max_results=1,
    )
    assert latest[0].data.params["cluster"] == "local"
    assert run(cluster="local").message.startswith("0 measured, 4 from earlier runs; ")


def test_dask_processes_listen_on_this_machine_alone(prefect_server):
    from ipaddress import ip_address

    import psutil

    from flows.compare import runner_of

    with runner_of(1, "local") as runner:
        runner.client.wait_for_workers(1)
        ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found = {one.laddr.ip for process in ours for one in process.net_connections("tcp") if one.status == "LISTEN"}
    assert found
    assert all(ip_address(address).is_loopback for address in found)
    assert len(ours) > 3  # this process, the server's, the cluster's


def test_dask_needs_a_prefect_server_to_report_to():
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.compare import runner_of

    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(ConfigError, match="make serve first"):
        runner_of(2, "local")


def test_a_wrong_name_is_answered_before_anything_runs(project):
    state = run(condensers=["randm"])
    assert state.message.startswith("condensers is 'randm'; did you mean 'random'?")
    state = run(datasets=["ml-1k"])
    assert state.message.startswith("dataset is 'ml-1k'; ")
    assert not Path("results/comparison.json").exists()


def test_prefect_shows_every_parameter_with_its_choices():
    from prefect.utilities.callables import parameter_schema

    from flows.compare import compare

    schema = parameter_schema(compare.fn).model_dump()["properties"]
    assert schema["ratios"]["items"] == {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert "k-core" in schema["condensers"]["items"]["enum"]
    assert {"params.yaml", "ml-1m", "gowalla"} <= set(schema["datasets"]["items"]["enum"])
    assert schema["seeds"]["default"] == [0, 1, 2]


def test_the_command_line_sets_parameters():
    from flows.compare import parameters

    assert parameters(["ratios=0.1", "condensers=[random]", "workers=2"]) == {
        "ratios": [0.1], "condensers": ["random"], "workers": 2,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="ratos is not a parameter; did you mean 'ratios'"):
        parameters(["ratos=0.1"])
