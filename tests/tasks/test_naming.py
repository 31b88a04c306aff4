"""Under which name a condensed set is registered where ``registration.name`` says nothing."""

from pathlib import Path

import pytest
from mlflow import MlflowException

from dconrec_core.errors import ConfigError
from flows.params import read_params
from tasks.model_registry import Registry
from tasks.naming import data_name, model_name, run_name
from tasks.tracking import Tracker


def named(root: Path, path: str, **changes: object) -> str:
    return model_name(read_params(root, {"dataset": {"name": "file", "config": {"path": path}}, **changes}))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/input/ratings.csv", "ratings-condensed"),
        ("/somewhere/else/clicks.parquet", "clicks-condensed"),
        ("data/input/clicks.2024.csv.gz", "clicks.2024-condensed"),
        ("data/input/My shop: week 3.tsv", "My-shop-week-3-condensed"),
        ("data/input/größe.csv", "größe-condensed"),
        ("data/input/(!).csv", "file-condensed"),
        ("data/input/ml-1m.csv", "file-ml-1m-condensed"),
    ],
)
def test_each_file_of_the_users_own_has_a_registered_model_of_its_own(root, path, name):
    assert named(root, path) == name
    params = read_params(root, {"dataset": {"name": "file", "config": {"path": path}}, "condense.ratio": 0.25})
    assert data_name(params.dataset) == name.removesuffix("-condensed")
    assert run_name(params) == f"{data_name(params.dataset)} {params.condense.name} 0.25"


def test_other_datasets_have_theirs_and_a_name_that_is_given_stands(root):
    assert model_name(read_params(root, {"dataset": {"name": "ml-1m"}})) == "ml-1m-condensed"
    assert named(root, "data/input/ratings.csv", **{"registration.name": "mine"}) == "mine"


@pytest.mark.slow
def test_a_name_that_mlflow_refuses_is_refused_when_parameters_are_read(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = Tracker.open("ours", tmp_path).client
    for name in ("team/toy", "team:toy", " ", ".", "..", "..toy"):
        with pytest.raises(MlflowException):
            client.create_registered_model(name)
        with pytest.raises(ConfigError, match=r"registration\.name is .*: MLflow takes no"):
            read_params(root, {"registration.name": name})
    with pytest.raises(ConfigError, match="MLflow finds no name that holds both"):
        read_params(root, {"registration.name": 'it\'s "mine"'})
    for name in ("team toy", ".toy", "toy.", "it's"):
        client.create_registered_model(name)
        assert read_params(root, {"registration.name": name}).registration.name == name


@pytest.mark.slow
def test_mlflow_takes_the_name(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracker = Tracker.open("ours", tmp_path)
    for path in ("My shop: week 3.tsv", "größe.csv"):
        name = named(root, path)
        tracker.client.create_registered_model(name)
        with tracker.run("a night") as run:
            tracker.client.create_model_version(name, f"runs:/{run.id}/x", run.id)
        registry = Registry(tracker, name)
        registry.promote("1", "the first", "gate")
        assert registry.champion().name == name
        assert len(tracker.client.search_model_versions(f"name = '{name}'")) == 1
