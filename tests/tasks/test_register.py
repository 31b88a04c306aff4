import json
from pathlib import Path

import pandas as pd
import pytest

from dconrec_core.atomic import write_json, write_text
from dconrec_core.errors import DataError
from tasks.model_registry import CHALLENGER, Registry
from tasks.params import Component, PipelineParams
from tasks.register import register
from tasks.tracking import Tracker
from tests.tasks.report_files import MODELS, SETS, fabricate

pytestmark = pytest.mark.slow


def params(**registration):
    return PipelineParams.model_validate(
        {
            "dataset": {"name": "toy"},
            "teacher": {"name": "ease"},
            "condense": {"name": "dconrec", "ratio": 0.25, "config": {"outer_epochs": 3}},
            "evaluate": {"models": {model: {} for model in MODELS}, "baselines": ["random"], "seeds": [0]},
            "registration": registration,
        }
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace as the stages before leave it, and a tracker of its own."""
    root = tmp_path_factory.mktemp("register")
    files = fabricate(root, seeds=(0,))
    write_text(files.condensed / "card.md", "# toy, condensed\n")
    write_text(files.report, "<h1>report</h1>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        yield files


@pytest.fixture(scope="module")
def registered(home):
    """What one registration left: registration.json, the parent run, the nested runs by name, and the client."""
    register(params(), home, home.registration)
    registration = json.loads(home.registration.read_text())
    client = Tracker.open("dconrec", home.root / "mlflow").client
    runs = client.search_runs([registration["experiment_id"]])
    nested = {r.info.run_name: r for r in runs if r.data.tags.get("mlflow.parentRunId") == registration["run_id"]}
    return registration, client.get_run(registration["run_id"]), nested, client


def test_one_parent_run_with_params_results_and_tags(registered):
    registration, run, nested, _ = registered
    assert run.info.run_name == registration["run_name"] == "toy dconrec 0.25"
    assert run.info.status == "FINISHED"
    assert run.data.params["condense.config.outer_epochs"] == "3"
    assert "device" not in run.data.params
    assert run.data.metrics["bprmf/condensed/quality"] == pytest.approx(SETS["condensed"], abs=0.01)
    assert run.data.metrics["quality"] == pytest.approx(min(SETS["condensed"] for _ in MODELS), abs=0.01)
    assert run.data.tags["gate"] == "passed"
    assert run.data.tags["gate.min_quality"].startswith("passed: bprmf 94")
    assert run.data.tags["device"]
    assert "| Condensed | bprmf | no |" in run.data.tags["mlflow.note.content"]
    assert len(nested) == len(SETS) * len(MODELS) + 1  # and the teacher


def test_search_is_a_stepped_metric(registered, home):
    _, run, _, client = registered
    history = pd.read_csv(home.search_history)
    for column in ("valid_loss", "expected_size", "mapping_norm_sq"):
        points = client.get_metric_history(run.info.run_id, f"search/{column}")
        assert [point.step for point in points] == history["outer_epoch"].tolist()
        assert [point.value for point in points] == pytest.approx(history[column].tolist())


def test_each_training_is_a_nested_run_with_its_curves(registered, home):
    _, _, nested, client = registered
    curves = pd.read_csv(home.curves)
    own = curves[(curves["model"] == "bprmf") & (curves["training_set"] == "condensed") & (curves["seed"] == 0)]
    run = nested["bprmf on condensed, seed 0"]
    points = client.get_metric_history(run.info.run_id, "curve/valid_ndcg_at_10")
    assert sorted(point.step for point in points) == own["epoch"].tolist()
    rows = json.loads(home.evaluation.read_text())["rows"]
    (row,) = (r for r in rows if (r["training_set"], r["model"], r["seed"]) == ("condensed", "bprmf", 0))
    assert run.data.metrics["valid_ndcg_at_10"] == row["valid_ndcg@10"] > own["valid_ndcg@10"].iloc[-1]
    assert client.get_metric_history(run.info.run_id, "curve/loss")
    assert run.data.params["model"] == "bprmf"
    assert "ndcg_at_10" in run.data.metrics
    assert run.data.metrics["train_seconds"] > 0


def test_datasets_are_inputs_with_contexts_and_full_digests(registered, home):
    _, run, nested, _ = registered
    inputs = {i.dataset.name: (i.dataset.digest, {t.key: t.value for t in i.tags}) for i in run.inputs.dataset_inputs}
    card = json.loads((home.condensed / "card.json").read_text())
    assert set(inputs) == {"toy", "toy-condensed"}
    assert inputs["toy"][1]["mlflow.data.context"] == "training"
    assert inputs["toy-condensed"][1] == {"mlflow.data.context": "condensed", "sha256": card["sha256"]}
    trained_on = nested["bprmf on condensed, seed 0"].inputs.dataset_inputs
    assert [logged.dataset.name for logged in trained_on] == ["toy-condensed"]
    assert nested["bprmf on random, seed 0"].inputs.dataset_inputs == []


def test_report_checks_and_figures_are_artifacts(registered):
    _, run, _, client = registered
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "evaluation.json", "ratio_curve.csv", "checks", "figures"} <= names
    figures = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "figures")}
    assert figures == {"figures/quality_against_ratio.png", "figures/search.png"}


def test_champion_loads_back_as_the_same_bytes(registered, home, tmp_path):
    import mlflow

    registration, _, _, client = registered
    assert registration["champion"] is True
    mlflow.set_tracking_uri(client.tracking_uri)
    folder = Path(
        mlflow.artifacts.download_artifacts(f"models:/{registration['model']}@champion", dst_path=str(tmp_path))
    )
    original = {path.name: path.read_bytes() for path in home.condensed.iterdir()}
    assert {path.name: path.read_bytes() for path in (folder / "artifacts/condensed").iterdir()} == original
    table = mlflow.pyfunc.load_model(f"models:/{registration['model']}@champion").predict(None)
    pd.testing.assert_frame_equal(table, pd.read_parquet(home.condensed / "interactions.parquet"))
    assert not list(folder.rglob("*.pkl"))


def test_version_has_the_card_the_tags_and_the_run(registered):
    registration, run, _, client = registered
    version = client.get_model_version(registration["model"], registration["version"])
    assert version.description.startswith("# toy, condensed\n\n## Decisions\n")
    assert (version.tags["decision"], version.tags["decision.by"]) == ("promoted", "gate")
    assert version.run_id == run.info.run_id
    assert version.tags["condensed.sha256"] == registration["sha256"]
    assert {"ratio", "condenser", "dataset", "gate", "gate.above_baselines"} <= set(version.tags)
    assert (version.tags["inductive"], version.tags["users"]) == ("no", "the source's")


def test_a_set_of_synthetic_users_says_so_wherever_its_figures_stand(home, tmp_path):
    files = fabricate(tmp_path, seeds=(0,), synthetic=True)
    write_text(files.condensed / "card.md", "# toy\n")
    register(params(experiment="synthetic", name="made-up"), files, files.registration)
    registration = json.loads(files.registration.read_text())
    client = Tracker.open("synthetic", home.root / "mlflow").client
    run = client.get_run(registration["run_id"])
    version = client.get_model_version(registration["model"], registration["version"])
    for tags in (run.data.tags, version.tags):
        assert (tags["inductive"], tags["users"]) == ("yes", "synthetic")
    assert run.data.metrics["condensed/n_users"] == 9
    nested = client.search_runs([registration["experiment_id"]], "params.training_set = 'condensed'")
    assert {one.data.params["inductive"] for one in nested} == {"True"}


def test_what_the_gate_refuses_is_registered_but_leaves_the_champion(registered, home, tmp_path):
    registration, _, _, client = registered
    out = tmp_path / "registration.json"
    register(params(gate={"min_quality": 0.99}), home, out)
    second = json.loads(out.read_text())
    assert second["champion"] is False
    assert [rule["passed"] for rule in second["gate"]] == [False, True, True, True]
    assert second["decision"] == "rejected"
    assert int(second["version"]) == int(registration["version"]) + 1
    assert client.get_model_version_by_alias(second["model"], "champion").version == int(registration["version"])
    assert client.get_run(second["run_id"]).data.tags["gate.min_quality"].startswith("failed: bprmf 94")


def test_a_champion_that_cannot_be_read_is_a_reason_and_stops_nothing(home, tmp_path):
    chosen = params(experiment="unreadable", name="unreadable")  # it has no items.parquet
    register(chosen, home, tmp_path / "first.json")
    first = json.loads((tmp_path / "first.json").read_text())
    client = Tracker.open("unreadable", home.root / "mlflow").client
    write_json(home.metrics, {"another": "run"})
    register(chosen, home, tmp_path / "second.json")
    second = json.loads((tmp_path / "second.json").read_text())
    assert (first["decision"], second["version"], second["decision"]) == ("promoted", "2", "rejected")
    reason = next(rule["reason"] for rule in second["gate"] if rule["rule"] == "against_champion")
    assert reason.startswith("the champion cannot be read: models:/unreadable/1/items.parquet does not exist")
    assert str(client.get_model_version_by_alias("unreadable", "champion").version) == "1"


def test_a_decision_made_since_outlives_another_try(home, tmp_path):
    asked, out = params(experiment="asked", name="asked", approval=True), tmp_path / "registration.json"
    register(asked, home, out)
    first = json.loads(out.read_text())
    registry = Registry(Tracker.open("asked", home.root / "mlflow"), "asked")
    registry.decline("1", "the tail looks thin", "a person")
    register(asked, home, out)
    again = json.loads(out.read_text())
    assert (first["version"], first["decision"]) == ("1", "waiting")
    assert (again["version"], again["decision"], again["champion"]) == ("1", "declined", False)
    assert registry.by_alias(CHALLENGER) is None
    description = registry.tracker.client.get_model_version("asked", "1").description
    assert [word in description for word in ("**waiting**", "**declined**")] == [True, True]


@pytest.mark.parametrize(
    ("later", "decision"),
    [({}, "promoted"), ({"gate": {"min_quality": 0.99}}, "rejected"), ({"approval": True}, "waiting")],
)
def test_a_question_is_taken_back_when_a_later_set_is_registered(home, tmp_path, later, decision):
    name, out = f"before-{decision}", tmp_path / "registration.json"
    register(params(experiment=name, name=name, approval=True), home, out)
    registry = Registry(Tracker.open(name, home.root / "mlflow"), name)
    assert registry.is_waiting("1")
    write_json(home.metrics, {"another run": decision})
    register(params(experiment=name, name=name, **later), home, out)
    second = json.loads(out.read_text())
    assert (second["version"], second["decision"]) == ("2", decision)
    assert registry.verdict("1") == "not champion (declined: superseded by version 2)"
    assert not registry.is_waiting("1")
    assert registry.is_waiting("2") is (decision == "waiting")


def test_a_file_of_the_users_own_gives_its_name_to_the_run_the_tags_and_the_data(home, tmp_path):
    from_file = {"name": "file", "config": {"path": "data/input/clicks.csv"}}
    out = tmp_path / "registration.json"
    register(params(experiment="own").model_copy(update={"dataset": Component.model_validate(from_file)}), home, out)
    registration = json.loads(out.read_text())
    client = Tracker.open("own", home.root / "mlflow").client
    run = client.get_run(registration["run_id"])
    assert (registration["model"], run.info.run_name) == ("clicks-condensed", "clicks dconrec 0.25")
    for tags in (run.data.tags, client.get_model_version("clicks-condensed", "1").tags):
        assert tags["dataset"] == "clicks"
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {"clicks", "clicks-condensed"}


def test_experiment_and_name_can_be_chosen(home, tmp_path):
    out = tmp_path / "registration.json"
    register(params(experiment="other", name="mine"), home, out)
    registration = json.loads(out.read_text())
    assert (registration["experiment"], registration["model"], registration["version"]) == ("other", "mine", "1")


def test_a_missing_file_is_named(tmp_path):
    files = fabricate(tmp_path, seeds=(0,))
    files.evaluation.unlink()
    with pytest.raises(DataError, match=r"evaluation\.json does not exist; run the stage that writes it"):
        register(params(), files, files.registration)


def test_a_teacher_without_epochs_and_a_missing_curve_are_no_problem(home, tmp_path):
    files = fabricate(tmp_path, seeds=(0,))
    write_text(files.condensed / "card.md", "# toy\n")
    write_text(files.teacher / "history.csv", "\n")
    files.ratio_curve.unlink(missing_ok=True)
    write_json(files.timing("evaluate"), {})
    register(params(experiment="bare", name="bare"), files, files.registration)
    assert files.registration.is_file()
