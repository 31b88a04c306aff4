"""The evaluate stage: a row for every training, figures that agree with each other, and the clock in one file only."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.condensation.base import make_synthetic
from dconrec_core.condensation.baselines import BaselineConfig
from dconrec_core.condensation.dataset import read_condensed, write_condensed
from dconrec_core.data.io import read_pool, write_interactions
from dconrec_core.errors import BudgetError, ConfigError, DataError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.popularity import popularity_scores
from dconrec_core.options import RunOptions
from dconrec_core.training import History
from dconrec_core.types import Budget, Interactions, Split
from tasks.evaluate import CURVE_COLUMNS, RATIO_COLUMNS, Trainings, TrainingSet, evaluate, summarise
from tasks.finished import Finished
from tasks.params import CondenseParams, EvaluateParams
from tasks.workspace import Workspace
from tests.tasks.small_stages import (
    CONDENSE,
    EVALUATE,
    OPTIONS,
    condense_from_split,
    contents,
    run_augment,
    run_condense,
    run_pretrain,
    write_split_folder,
)

METRICS = [f"{name}@{k}" for name in ("ndcg", "recall") for k in (5, 10, 20)]
SETS = ["full", "condensed", "random", "teacher-top"]


def run(root: Path, split: Split, params: EvaluateParams = EVALUATE) -> Workspace:
    files = Workspace(root)
    write_split_folder(files, split)
    condense_from_split(files)
    evaluate(params, CONDENSE, files, OPTIONS)
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, planted_split: Split) -> Workspace:
    return run(tmp_path_factory.mktemp("evaluated"), planted_split)


@pytest.fixture(scope="module")
def evaluation(files: Workspace) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files.evaluation.read_text())
    return loaded


@pytest.fixture(scope="module")
def trained(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of trainings: all but the popularity ranker's."""
    return [row for row in evaluation["rows"] if row["model"] != "popularity"]


def key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["training_set"], row["model"], row["seed"]


def test_header_says_what_was_compared(evaluation: dict[str, Any]) -> None:
    header = {name: value for name, value in evaluation.items() if name != "rows"}
    assert header == {
        "dataset": "planted", "seed": 0, "condenser": "dconrec", "inductive": False, "teacher": "ease", "ratio": 0.25,
        "budget": 120, "n_train": 480, "n_users": 60, "n_items": 40,
    }  # fmt: skip


def test_every_set_model_and_seed_has_a_row_and_popularity_is_the_floor(
    evaluation: dict[str, Any], trained: list[dict[str, Any]], planted_split: Split
) -> None:
    expected = {(name, model, seed) for name in SETS for model in ("bprmf", "lightgcn") for seed in (0, 1)}
    assert {key(row) for row in trained} == expected
    assert len(trained) == len(expected)
    (floor,) = (row for row in evaluation["rows"] if row["model"] == "popularity")
    assert floor["training_set"] == "full"
    assert floor["config"] == {}
    assert {key_ for row in evaluation["rows"] for key_ in row} == set(floor)
    best = max(row["ndcg@10"] for row in trained if row["training_set"] == "full")
    assert best > floor["ndcg@10"] + 0.1
    ranker = popularity_scores(planted_split.train)
    assert {name: floor[name] for name in METRICS} == RankingTask.test(planted_split).measure(ranker)
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    assert floor["valid_ndcg@10"] == valid.measure(ranker)["ndcg@10"]


def test_quality_is_measured_by_the_same_model_and_seed_on_full_data(trained: list[dict[str, Any]]) -> None:
    full = {(row["model"], row["seed"]): row["ndcg@10"] for row in trained if row["training_set"] == "full"}
    for row in trained:
        assert row["quality"] == pytest.approx(row["ndcg@10"] / full[row["model"], row["seed"]])
    assert {row["quality"] for row in trained if row["training_set"] == "full"} == {1.0}


def test_figures_are_within_their_bounds(evaluation: dict[str, Any]) -> None:
    for row in evaluation["rows"]:
        assert all(0 <= row[name] <= 1 for name in [*METRICS, "valid_ndcg@10", "same_settings_ndcg@10"])
        assert row["recall@5"] <= row["recall@10"] <= row["recall@20"]
        assert row["inductive"] is False


def test_sizes_are_those_of_the_sets(files: Workspace, trained: list[dict[str, Any]]) -> None:
    condensed = read_condensed(files.condensed)
    for row in trained:
        assert row["n_interactions"] == (480 if row["training_set"] == "full" else 120)
        if row["training_set"] in ("full", "random"):
            assert row["observed_share"] == 1
        if row["training_set"] == "condensed":
            assert row["observed_share"] == pytest.approx(condensed.observed.mean())
            assert row["n_users"] == len(set(condensed.interactions.users.tolist()))


def test_a_row_can_be_had_again_from_its_settings(
    files: Workspace, trained: list[dict[str, Any]], planted_split: Split
) -> None:
    (row,) = (row for row in trained if key(row) == ("condensed", "bprmf", 1))
    model = MODELS["bprmf"].build(MODELS["bprmf"].configure("", row["config"]))
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    history = model.fit(read_condensed(files.condensed).interactions, valid, RunOptions(seed=1, device="cpu"))
    assert RankingTask.test(planted_split).measure(model.score) == {name: row[name] for name in METRICS}
    assert (history.best_epoch, history.best_valid) == (row["best_epoch"], row["valid_ndcg@10"])


def test_every_set_is_tuned_by_the_same_search(trained: list[dict[str, Any]]) -> None:
    for row in trained:
        entry = MODELS[row["model"]]
        steps = entry.build(entry.config_class()).search_space()[: EVALUATE.trials]
        settings = EVALUATE.models[row["model"]]
        assert row["config"] in [entry.configure("", {**settings, **step}).model_dump() for step in steps]


def test_a_models_own_size_of_the_search_goes_before_that_of_all(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def search(*args: Any, inductive: bool) -> Trained:
        asked.append(args[4])
        nothing = dict.fromkeys(METRICS, 0.0)
        return Trained({}, History(rows=[{"epoch": 1, "loss": 1}]), nothing, nothing, tuning_seconds=0.0)

    monkeypatch.setattr("tasks.evaluate.train_and_measure", search)
    params = EVALUATE.model_copy(update={"trials_by_model": {"lightgcn": 5}})
    trainings = Trainings(params, planted_split, OPTIONS)
    for name, model in product(("full", "condensed"), ("bprmf", "lightgcn")):
        trainings.train(name, TrainingSet(planted_split.train), model, 0)
    assert asked == [EVALUATE.trials, 5] * 2


def test_same_settings_are_those_found_for_full_data(planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Trained | None] = []

    def search(*args: Any, inductive: bool) -> Trained:
        assert inductive is False
        asked.append(args[-1])
        metrics = {name: 0.2 * len(asked) for name in METRICS}
        same = {name: 0.1 for name in METRICS}
        return Trained({"n": len(asked)}, History(rows=[{"epoch": 1, "loss": 1}]), metrics, same, tuning_seconds=2.0)

    monkeypatch.setattr("tasks.evaluate.train_and_measure", search)
    trainings = Trainings(EVALUATE, planted_split, OPTIONS)
    for name, seed in (("full", 0), ("full", 1), ("condensed", 0), ("condensed", 1), ("random", 1)):
        trainings.train(name, TrainingSet(planted_split.train), "bprmf", seed)
    assert [reference and reference.config["n"] for reference in asked] == [None, None, 1, 2, 2]
    assert [row["quality"] for row in trainings.rows] == pytest.approx([1, 1, 3, 2, 2.5])
    assert {row["same_settings_ndcg@10"] for row in trainings.rows} == {0.1}


def test_summary_holds_the_means_over_seeds(files: Workspace, evaluation: dict[str, Any]) -> None:
    metrics = json.loads(files.metrics.read_text())
    assert metrics.keys() == {"bprmf", "lightgcn", "popularity"}
    for model, sets in metrics.items():
        for name, figures in sets.items():
            rows = [row for row in evaluation["rows"] if (row["training_set"], row["model"]) == (name, model)]
            for figure in ("ndcg@10", "recall@20", "n_interactions"):
                assert figures[figure] == pytest.approx(np.mean([row[figure] for row in rows]))
            assert figures["inductive"] is False
    assert metrics["bprmf"]["full"]["quality"] == 1
    assert metrics["popularity"]["full"]["quality"] is None


def test_curves_hold_the_chosen_training_of_every_row(files: Workspace, trained: list[dict[str, Any]]) -> None:
    curves = pd.read_csv(files.curves)
    assert curves.columns.tolist() == CURVE_COLUMNS
    groups = {group: frame for group, frame in curves.groupby(["training_set", "model", "seed"])}
    assert groups.keys() == {key(row) for row in trained}
    for row in trained:
        curve = groups[key(row)]
        assert curve["epoch"].is_monotonic_increasing
        best = curve.loc[curve["epoch"] == row["best_epoch"], "valid_ndcg@10"]
        assert best.tolist() == [row["valid_ndcg@10"]] == [curve["valid_ndcg@10"].max()]


def test_ratio_curve_goes_through_the_rows_of_the_comparison(files: Workspace, trained: list[dict[str, Any]]) -> None:
    curve = pd.read_csv(files.ratio_curve)
    assert curve.columns.tolist() == RATIO_COLUMNS
    expected = {(name, ratio) for name in ("dconrec", "random") for ratio in (0.1, 0.25, 0.5)}
    assert set(zip(curve["condenser"], curve["ratio"], strict=True)) == expected
    assert len(curve) == len(expected)
    assert (curve["n_interactions"] == (curve["ratio"] * 480).astype(int)).all()
    rows = {key(row): row for row in trained}
    for _, point in curve[curve["ratio"] == 0.25].iterrows():
        row = rows["condensed" if point["condenser"] == "dconrec" else "random", "bprmf", 0]
        assert (point["ndcg@10"], point["recall@20"]) == (row["ndcg@10"], row["recall@20"])
        assert point["quality"] == pytest.approx(row["quality"])


@pytest.fixture
def of_own_users(tmp_path: Path, planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[str]]:
    """The evaluation of an inductive set, with trainings that only say what they were given."""
    asked: list[str] = []

    def search(model: str, settings: Any, train: Interactions, split: Split, *others: Any, inductive: bool) -> Trained:
        asked.append(f"{others[1].label}, {train.n_users} {'own' if inductive else 'real'} users")
        metrics = dict.fromkeys(METRICS, len(train) / len(split.train))
        history = History(rows=[{"epoch": 1, "loss": 1.0, "valid_ndcg@10": 0.5}], best_epoch=1, best_valid=0.5)
        return Trained({}, history, metrics, metrics, tuning_seconds=2.0)

    monkeypatch.setattr("tasks.evaluate.train_and_measure", search)
    files, condense = Workspace(tmp_path), CondenseParams(name="random-users", ratio=0.25)
    write_split_folder(files, planted_split)
    run_pretrain(files)
    run_augment(files)
    run_condense(files, condense)
    params = EVALUATE.model_copy(update={"models": {"ease": {}}, "baselines": ["random"], "seeds": [0]})
    evaluate(params, condense, files, OPTIONS)
    return files, asked


def test_rows_of_a_set_with_users_of_its_own_say_so(of_own_users: tuple[Workspace, list[str]]) -> None:
    files, _ = of_own_users
    evaluation = json.loads(files.evaluation.read_text())
    assert evaluation["inductive"] is True
    assert evaluation["n_users"] == 60
    facts = ("training_set", "inductive", "n_interactions", "n_users", "observed_share")
    (full, made, uniform, users), floor = evaluation["rows"][:4], evaluation["rows"][4]
    assert [full[fact] for fact in facts] == ["full", False, 480, 60, 1]
    assert [made[fact] for fact in facts] == ["condensed", True, 120, 15, 1]
    assert [uniform[fact] for fact in facts[:3]] == ["random", False, 120]
    assert [users[fact] for fact in facts] == ["random-users", True, 120, 15, 1]
    assert (floor["model"], floor["inductive"]) == ("popularity", False)
    metrics = json.loads(files.metrics.read_text())
    assert {name: row["inductive"] for name, row in metrics["ease"].items()} == {
        "full": False, "condensed": True, "random": False, "random-users": True,
    }  # fmt: skip
    for path in (files.curves, files.ratio_curve):
        assert pd.read_csv(path)["inductive"].any()


def test_a_set_with_users_of_its_own_is_measured_against_whole_users(
    of_own_users: tuple[Workspace, list[str]],
) -> None:
    files, asked = of_own_users
    assert asked[:4] == [
        "ease on full, 60 real users",
        "ease on condensed, 15 own users",
        "ease on random, 60 real users",
        "ease on random-users, 15 own users",
    ]
    curve = pd.read_csv(files.ratio_curve)
    assert set(curve["condenser"]) == {"random-users"}
    assert curve["ratio"].tolist() == [0.1, 0.25, 0.5]
    assert curve["inductive"].all()


def test_real_users_are_folded_into_what_was_learnt_from_others(tmp_path: Path, planted_split: Split) -> None:
    """Six made-up users, three of each taste, tell enough of the items to serve sixty real ones."""
    files = Workspace(tmp_path)
    write_split_folder(files, planted_split)
    condense_from_split(files)
    users, places = np.divmod(np.arange(6 * 20), 20)
    histories = Interactions.of(users, users % 2 + 2 * places, 6, 40)
    made_up = make_synthetic(
        histories, planted_split.train, Budget(120), condenser="random-users", config=BaselineConfig(), seed=0
    )
    items = pd.DataFrame({"item": np.arange(40), "item_id": np.arange(40)})
    write_condensed(files.condensed, made_up, dataset="planted", items=items)
    params = EvaluateParams(
        models={"ease": {}, "bprmf": {"embedding_size": 8, "epochs": 20}}, baselines=["random"], seeds=[0]
    )
    evaluate(params, CondenseParams(name="random-users", ratio=0.25), files, OPTIONS)
    rows = {(row["training_set"], row["model"]): row for row in json.loads(files.evaluation.read_text())["rows"]}
    floor = rows["full", "popularity"]["ndcg@10"]
    for model in ("ease", "bprmf"):
        made, users_drawn = rows["condensed", model], rows["random-users", model]
        assert (made["inductive"], made["n_users"], made["observed_share"]) == (True, 6, 0)
        assert (users_drawn["inductive"], users_drawn["n_users"]) == (True, 15)
        assert made["ndcg@10"] > floor + 0.1
        assert made["config"].keys() == rows["full", model]["config"].keys()


def test_real_users_can_be_folded_in_though_the_set_has_rows_of_theirs(tmp_path: Path, planted_split: Split) -> None:
    """One interaction a user in the mean: many have none left to be known by, but a history in training."""
    rows = {}
    for fold_in in (False, True):
        files = Workspace(tmp_path / str(fold_in))
        write_split_folder(files, planted_split)
        run_pretrain(files)
        run_augment(files)
        run_condense(files, CondenseParams(name="random", ratio=0.125))
        params = EvaluateParams(
            models={"bprmf": {"embedding_size": 8}}, baselines=["teacher-top"], seeds=[0], fold_in=fold_in
        )
        evaluate(params, CondenseParams(name="random", ratio=0.125), files, OPTIONS)
        evaluation = json.loads(files.evaluation.read_text())
        assert evaluation["inductive"] == fold_in
        rows[fold_in] = {row["training_set"]: row for row in evaluation["rows"] if row["model"] == "bprmf"}
        assert {name: row["inductive"] for name, row in rows[fold_in].items()} == {
            "full": False, "condensed": fold_in, "teacher-top": fold_in,
        }  # fmt: skip
    assert rows[True]["full"] == rows[False]["full"]
    assert rows[True]["condensed"]["n_interactions"] == rows[False]["condensed"]["n_interactions"] == 60
    assert rows[True]["condensed"]["ndcg@10"] > rows[False]["condensed"]["ndcg@10"] + 0.1


def test_made_up_interactions_are_not_observed(planted_split: Split) -> None:
    histories = Interactions.of([0, 0, 1], [3, 39, 3], 2, 40)
    made_up = make_synthetic(
        histories, planted_split.train, Budget(3), condenser="mine", config=BaselineConfig(), seed=0
    )
    assert TrainingSet.of(made_up, fold_in=False).facts() == {
        "inductive": True, "n_interactions": 3, "n_users": 2, "observed_share": 0,
    }  # fmt: skip


def test_the_clock_is_in_the_timing_file_alone(files: Workspace, trained: list[dict[str, Any]]) -> None:
    timing = json.loads(files.timing("evaluate").read_text())
    assert timing["device"] == "cpu"
    assert [key(row) for row in timing["rows"]] == [key(row) for row in trained]
    for row in timing["rows"]:
        assert 0 < row["train_seconds"] <= row["tuning_seconds"] + 1e-4
    assert sum(row["tuning_seconds"] for row in timing["rows"]) <= timing["stage_seconds"]
    for path in (files.evaluation, files.metrics, files.curves, files.ratio_curve):
        assert "seconds" not in path.read_text()


def test_two_runs_write_the_same_bytes(files: Workspace, tmp_path: Path, planted_split: Split) -> None:
    again = run(tmp_path, planted_split)
    assert contents(again.root) == contents(files.root)


def test_test_split_is_read_here(files: Workspace, tmp_path: Path, planted_split: Split) -> None:
    params = EVALUATE.model_copy(
        update={"models": {"ease": {}}, "baselines": [], "seeds": [0], "trials": 1, "curve_ratios": []}
    )
    rows = []
    for name, test in (("right", planted_split.test), ("wrong", wrong_taste(planted_split))):
        there = run(tmp_path / name, planted_split, params)
        write_interactions(there.split / "test.parquet", test)
        evaluate(params, CONDENSE, there, OPTIONS)
        rows.append(json.loads(there.evaluation.read_text())["rows"][0])
    assert rows[0]["ndcg@10"] > rows[1]["ndcg@10"] + 0.3
    assert rows[0]["valid_ndcg@10"] == rows[1]["valid_ndcg@10"]
    assert rows[0]["config"] == rows[1]["config"]


def wrong_taste(split: Split) -> Interactions:
    """One test item per user, of the other parity: nobody has any of those."""
    users = np.arange(split.train.n_users)
    return Interactions.of(users, 1 - users % 2 + 2 * (users % 20), split.train.n_users, split.train.n_items)


def test_no_ratios_no_curve(tmp_path: Path, planted_split: Split) -> None:
    params = EvaluateParams(models={"ease": {}}, baselines=[], seeds=[0])
    curve = pd.read_csv(run(tmp_path, planted_split, params).ratio_curve)
    assert curve.columns.tolist() == RATIO_COLUMNS
    assert curve.empty


def test_a_baseline_keeps_no_tail_that_the_budget_cannot_hold(tmp_path: Path, planted_split: Split) -> None:
    """Every user has eight interactions, so by default all are tail; a quarter of them is too little for it."""
    files, condense = Workspace(tmp_path), CondenseParams(name="random-users", ratio=0.2)
    write_split_folder(files, planted_split)
    run_pretrain(files)
    run_augment(files)
    run_condense(files, condense)
    params = EvaluateParams(models={"ease": {}}, baselines=["dconrec-paper"], seeds=[0], trials=1)
    evaluate(params, condense, files, OPTIONS)
    rows = json.loads(files.evaluation.read_text())["rows"]
    assert "dconrec-paper" in {row["training_set"] for row in rows}
    run_condense(files, condense := CondenseParams(name="random-users", ratio=0.3))
    with pytest.raises(BudgetError, match=r"^baseline dconrec-paper: .*; or take dconrec-paper out of evaluate"):
        evaluate(params, condense, files, OPTIONS)


def test_a_ratio_of_the_curve_that_cannot_be_served_is_named_before_anything_is_trained(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.evaluate.train_and_measure", lambda *_, **__: pytest.fail("trained"))
    for ratio, why in (
        (1e-5, "evaluate.curve_ratios is 1e-05: a budget of 0"),
        (0.01, "users with at most 10 interactions hold"),
    ):
        condense = CONDENSE.model_copy(update={"config": {**CONDENSE.config, "tail_threshold": 10}})
        params = EVALUATE.model_copy(update={"curve_ratios": [ratio]})
        with pytest.raises(
            BudgetError, match=f"^dconrec at {ratio:g}: .*{why}.*; or take {ratio:g} out of evaluate.cu"
        ):
            evaluate(params, condense, files, OPTIONS)


def test_a_small_ratio_of_the_curve_keeps_no_tail_unless_one_was_asked_for(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: Any, **__: Any) -> Trained:
        raise TrainingError("every set is there")

    monkeypatch.setattr("tasks.evaluate.train_and_measure", reached)
    config = {name: value for name, value in CONDENSE.config.items() if name != "tail_threshold"}
    with pytest.raises(TrainingError, match="every set is there"):
        evaluate(
            EVALUATE.model_copy(update={"curve_ratios": [0.05]}), CONDENSE.model_copy(update={"config": config}), files,
            OPTIONS,
        )  # fmt: skip


def test_altered_condensed_dataset_is_not_evaluated(tmp_path: Path, planted_split: Split) -> None:
    files = Workspace(tmp_path)
    write_split_folder(files, planted_split)
    condense_from_split(files)
    pool = read_pool(files.pool)
    write_interactions(files.condensed / "interactions.parquet", pool.interactions)
    with pytest.raises(DataError, match=r"its card says .*; restore it with dvc checkout"):
        evaluate(EVALUATE, CONDENSE, files, OPTIONS)
    assert not files.evaluation.exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": {"lightgnc": {}}}, "evaluate.models is 'lightgnc'; did you mean 'lightgcn'"),
        ({"models": {"ease": {"epochs": 3}}}, "evaluate.models.ease.epochs is not a setting"),
        ({"models": {"ease": {}}, "baselines": ["randm"]}, "evaluate.baselines is 'randm'; did you mean 'random'"),
    ],
)
def test_wrong_names_and_settings_are_refused(changed: dict[str, Any], message: str, files: Workspace) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(EVALUATE.model_copy(update=changed), CONDENSE, files, OPTIONS)


def test_summary_leaves_out_what_has_no_value() -> None:
    row = {"model": "m", "training_set": "s", "recall@20": 0.5, "n_interactions": 3, "inductive": True}
    rows = [{**row, "ndcg@10": 0.2, "quality": None}, {**row, "ndcg@10": 0.4, "quality": 0.8}]
    assert summarise(rows)["m"]["s"] == {
        "ndcg@10": pytest.approx(0.3), "recall@20": 0.5, "quality": 0.8, "n_interactions": 3, "inductive": True,
    }  # fmt: skip
    assert summarise(rows[:1])["m"]["s"]["quality"] is None


@pytest.mark.parametrize("model", MODELS)
def test_whatever_the_model_a_finished_training_is_kept_and_read_again(
    model: str, tmp_path: Path, planted_split: Split
) -> None:
    few: dict[str, Any] = {"epochs": 1} if "epochs" in MODELS[model].config_class.model_fields else {}
    finished, tries = [Finished(tmp_path) for _ in range(2)], []
    for one in (finished[0], finished[0], finished[1]):
        tries.append(
            one.get(
                {"model": model}, lambda: train_and_measure(model, few, planted_split.train, planted_split, 1, OPTIONS)
            )
        )
    assert tries[1].metrics == tries[2].metrics == tries[0].metrics
    assert (finished[0].seconds, finished[1].seconds) == (0, tries[0].tuning_seconds)  # of an earlier try alone


def test_a_stage_that_failed_trains_nothing_twice(
    files: Workspace, planted_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trained: list[int] = []

    def train(*arguments: Any, **settings: Any) -> Trained:
        if len(trained) == 3:
            raise TrainingError("the loss is nan")
        trained.append(len(arguments[2]))
        return train_and_measure(*arguments, **settings)

    again = Workspace(tmp_path)
    write_split_folder(again, planted_split)
    condense_from_split(again)
    options = replace(OPTIONS, checkpoints=tmp_path / "checkpoints")
    monkeypatch.setattr("tasks.evaluate.train_and_measure", train)
    with pytest.raises(TrainingError):
        evaluate(EVALUATE, CONDENSE, again, options)
    assert len(list(options.checkpoints.glob("finished-*.json"))) == 3
    assert not again.evaluation.exists()
    next(iter(options.checkpoints.glob("finished-*.json"))).write_text("{")  # cut off while it was written
    trained[:] = []
    monkeypatch.setattr(
        "tasks.evaluate.train_and_measure", lambda *a, **k: trained.append(0) or train_and_measure(*a, **k)
    )
    evaluate(EVALUATE, CONDENSE, again, options)
    n_curve = 2 * len(EVALUATE.curve_ratios)  # of the condenser and of its random rival
    assert len(trained) == len(SETS) * len(EVALUATE.models) * len(EVALUATE.seeds) + n_curve - 2
    assert again.evaluation.read_bytes() == files.evaluation.read_bytes()
    assert again.curves.read_bytes() == files.curves.read_bytes()
    timing = json.loads(again.timing("evaluate").read_text())
    assert sum(row["tuning_seconds"] for row in timing["rows"]) <= timing["stage_seconds"]  # those before count, too
    assert not list(options.checkpoints.iterdir())
