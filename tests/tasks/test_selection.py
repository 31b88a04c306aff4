"""Selection on a split of seconds: both sides, all files, and nothing trained twice."""

import json

import pandas as pd
import pytest

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions
from dconrec_core.selection import Measured, by_turns, rank_agreement, train_once
from dconrec_core.types import Split
from tasks import selection as module
from tasks.params import CondenseParams, SelectParams
from tasks.selection import Selection, agreement_of
from tasks.selection_page import rank, selection_page
from tasks.workspace import Workspace
from tests.tasks.small_stages import run_augment, run_condense, run_pretrain, write_split_folder
from tests.tasks.test_report import Page

GRID = {
    "bprmf": {"embedding_size": [4, 8], "epochs": [10]},
    "ease": {"regularization": [[1.0], [100.0]]},
    "ridge": {"regularization": [[1.0]]},
}
PARAMS = SelectParams(grid=GRID)
OPTIONS = RunOptions(device="cpu")
NAMES = [
    "bprmf embedding_size 4, epochs 10", "bprmf embedding_size 8, epochs 10", "ease regularization 1.0",
    "ease regularization 100.0", "ridge regularization 1.0",
]  # fmt: skip


def prepared(root, split: Split, condenser: str) -> Workspace:
    files = Workspace(root)
    write_split_folder(files, split)
    run_pretrain(files)
    run_augment(files)
    run_condense(files, CondenseParams(name=condenser, ratio=0.4))
    return files


@pytest.fixture
def files(tmp_path, planted_split: Split) -> Workspace:
    """Split and a condensed set of whole users."""
    return prepared(tmp_path, planted_split, "random-users")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the trainings that were done."""
    done: list[str] = []

    def remembering(configuration, train, split, options, inductive):
        done.append(options.label)
        return train_once(configuration, train, split, options, inductive)

    monkeypatch.setattr(module, "train_once", remembering)
    return done


def select(params: SelectParams, files: Workspace, options: RunOptions) -> None:
    """What the flow does, without Prefect."""
    selection = Selection(params, files, options)
    trainings = []
    for trainings_of_round in selection.rounds():
        for training in trainings_of_round:
            selection.measure(training)
        trainings += trainings_of_round
    assert len(trainings) == selection.n_trainings
    selection.write()


def test_every_configuration_on_both_sides_each_as_its_user_sees_it(files: Workspace, planted_split: Split, trained):
    select(PARAMS, files, OPTIONS)
    assert trained == [f"{name} on {side}" for name in NAMES for side in ("condensed", "full")]
    result = json.loads(files.selection.read_text())
    assert [row["configuration"] for row in result["rows"]] == NAMES
    assert (result["condenser"], result["inductive"], result["n_configurations"]) == ("random-users", True, 5)
    set_, one = Selection(PARAMS, files, OPTIONS), result["rows"][3]
    condensed = train_once(set_.configurations[3], set_.condensed.interactions, planted_split, OPTIONS, inductive=True)
    full = train_once(set_.configurations[3], planted_split.train, planted_split, OPTIONS)
    for side, expected in (("condensed", condensed), ("full", full)):
        assert (one[side]["valid"], one[side]["test"]) == (expected.valid, expected.test)
    sides = [{row["configuration"]: Measured(**row[side]) for row in result["rows"]} for side in ("condensed", "full")]
    assert agreement_of(result) == rank_agreement(*sides)


def test_a_set_over_the_sources_users_is_measured_transductively(tmp_path, planted_split: Split):
    files = prepared(tmp_path, planted_split, "random")
    select(PARAMS, files, OPTIONS)
    result = json.loads(files.selection.read_text())
    assert result["inductive"] is False
    set_ = Selection(PARAMS, files, OPTIONS)
    expected = train_once(set_.configurations[0], set_.condensed.interactions, planted_split, OPTIONS)
    assert result["rows"][0]["condensed"]["valid"] == expected.valid


def test_real_users_of_such_a_set_are_folded_in_where_the_pipeline_does_so(tmp_path, planted_split: Split):
    set_ = Selection(PARAMS, prepared(tmp_path, planted_split, "random"), OPTIONS, fold_in=True)
    one, other = next(set_.rounds())[:2]
    assert (one.side.name, one.side.inductive, other.side.inductive) == ("condensed", True, False)
    expected = train_once(one.configuration, set_.condensed.interactions, planted_split, OPTIONS, inductive=True)
    assert set_.measure(one).valid == expected.valid


def test_a_run_that_was_cut_off_goes_on_where_it_was(files: Workspace, trained, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        real = module.train_once

        def until_the_fifth(*arguments):
            if len(trained) == 4:
                raise KeyboardInterrupt
            return real(*arguments)

        patch.setattr(module, "train_once", until_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            select(PARAMS, files, OPTIONS)
    assert len(json.loads(files.selection_rows.read_text())) == 4
    assert not files.selection.exists()
    select(PARAMS, files, OPTIONS)
    assert len(trained) == len(set(trained)) == 10
    before = files.selection.read_bytes()
    select(PARAMS, files, OPTIONS)
    assert len(trained) == 10
    assert files.selection.read_bytes() == before


def test_what_determines_a_training_decides_whether_it_is_done_again(
    files: Workspace, trained, monkeypatch: pytest.MonkeyPatch
):
    select(PARAMS, files, OPTIONS)
    trained.clear()
    spelled_out = GRID | {"ease": {"regularization": [[1], [100], [10]]}}  # 1 is 1.0
    select(SelectParams(grid=spelled_out), files, OPTIONS)
    assert trained == ["ease regularization 10 on condensed", "ease regularization 10 on full"]
    trained.clear()
    run_condense(files, CondenseParams(name="random-users", ratio=0.3))
    select(PARAMS, files, OPTIONS)
    assert trained == [f"{name} on condensed" for name in NAMES]  # full data is what it was
    trained.clear()
    select(SelectParams(grid=GRID, seed=1), files, OPTIONS)
    assert len(trained) == 10
    trained.clear()
    monkeypatch.setattr("tasks.finished.training_code", lambda: "changed")
    select(PARAMS, files, OPTIONS)
    assert len(trained) == 10


def test_the_table_and_the_page_say_what_the_result_says(files: Workspace):
    select(PARAMS, files, OPTIONS)
    result = json.loads(files.selection.read_text())
    table = pd.read_csv(files.selection_table)
    assert table["configuration"].tolist() == NAMES
    assert table["full_ndcg@10"].tolist() == pytest.approx([row["full"]["test"] for row in result["rows"]])
    page = files.selection_page.read_text()
    assert page.count("<circle") == 2 * 5
    assert page.count("dot s-") == 10
    assert f"{result['chosen']} (chosen)" in page
    assert "trained on the set, whose users are its own; the real users are folded in" in page
    assert Page(page).loads == ["data:,"]  # balanced tags, and nothing is loaded
    assert "://" not in page


def test_a_shortlist_alone_is_trained_on_full_data_and_the_best_of_it_there_is_taken(files: Workspace, trained):
    some = SelectParams(grid=GRID, shortlist=3)
    select(some, files, OPTIONS)
    result = json.loads(files.selection.read_text())
    seen = {row["configuration"]: Measured(**row["condensed"]) for row in result["rows"]}
    first = by_turns(seen)[:3]
    assert {name.split()[0] for name in first} == {"bprmf", "ease", "ridge"}  # the best of each model
    assert trained == [*(f"{name} on condensed" for name in NAMES), *(f"{name} on full" for name in first)]
    full = {row["configuration"]: Measured(**row["full"]) for row in result["rows"] if row["full"]}
    assert set(full) == set(first)
    assert result["best"] == max(first, key=lambda name: full[name].valid)
    assert (result["shortlist"], result["kendall_tau"], result["regret"], result["time_ratio"]) == (3, None, None, None)
    assert agreement_of(result) == rank_agreement(seen, full)
    (one,) = result["shortlists"]
    assert (one["size"], one["chosen"], one["regret"]) == (3, result["best"], None)
    table = pd.read_csv(files.selection_table)
    assert table["full_ndcg@10"].notna().sum() == 3
    page = files.selection_page.read_text()
    assert f"{result['best']} (take this)" in page or f"{result['best']} (first) (take this)" in page
    taken = "it" if result["best"] == result["chosen"] else result["best"]
    assert f"Of the first 3 by the set, trained on full data too, {taken} is the best there" in page
    assert page.count("dot s-") == 2 * 3
    assert 'id="shortlists"' not in page
    assert Page(page).loads == ["data:,"]
    trained.clear()
    select(PARAMS, files, OPTIONS)  # later all: what is trained is kept
    assert sorted(trained) == sorted(f"{name} on full" for name in NAMES if name not in first)


def test_a_shortlist_longer_than_the_grid_is_refused(files: Workspace):
    with pytest.raises(ConfigError, match=r"select\.shortlist is 6, select\.grid holds 5 configurations; give at most"):
        Selection(SelectParams(grid=GRID, shortlist=6), files, OPTIONS)
    select(SelectParams(grid=GRID, shortlist=5), files, OPTIONS)
    result = json.loads(files.selection.read_text())
    assert result["shortlist"] is None  # that is all of them
    assert result["regret"] is not None


def test_a_shortlist_of_which_nothing_can_be_trained_on_full_data_recommends_nothing(files: Workspace, monkeypatch):
    def fail_on_full(configuration, train, split, options, inductive):
        on_full = options.label.endswith("on full")
        return Measured(0.0, 0.0, 0.0, 0.1, failure="too many items") if on_full else Measured(0.2, 0.2, 0.2, 0.1)

    monkeypatch.setattr(module, "train_once", fail_on_full)
    with pytest.raises(
        DataError, match=r"nothing of it could be trained on full data \(too many items\); make it longer"
    ):
        select(SelectParams(grid=GRID, shortlist=2), files, OPTIONS)
    assert not files.selection.exists()


def test_a_page_escapes_names_and_copes_with_what_is_not_defined():
    seen = {"valid": 0.0, "test": 0.0, "recall": 0.0, "seconds": 0.0, "best_epoch": 0, "failure": "<b>nan</b>"}
    row = {"model": "ease", "settings": {}, "condensed": seen, "full": seen}
    result = {
        **{"dataset": "<i>toy</i>", "condenser": "random", "ratio": 0.1, "inductive": True, "condensed_sha256": "ab"},
        **{"n_condensed": 10, "n_full": 100, "seed": 0, "device": "cpu", "threads": 1, "n_configurations": 2},
        **{"shortlist": None, "own_users": False},
        **{"kendall_tau": None, "kendall_tau_test": None, "regret": None, "regret_at_random": None},
        **{"chosen": "a", "best": "b", "seconds_condensed": 0.0, "seconds_full": 0.0, "time_ratio": None},
        "rows": [row | {"configuration": name} for name in "ab"],
        "shortlists": [{"size": 1, "chosen": "<u>a", "regret": None, "seconds": 0.0, "time_ratio": None}],
    }
    page = selection_page(result)
    assert "<i>toy" not in page
    assert "<u>a" not in page
    assert "<b>nan" not in page
    assert page.count(">failed<") == 4
    assert "trained on the set; the real users are folded in" in page
    for ratio, words in ((None, "not timed: "), (0.4, "of the time, so slower: "), (2.0, "less: ")):
        assert f">{words}" in selection_page(result | {"time_ratio": ratio})


def test_ranks_are_shared_by_equals():
    assert [rank(value, [3, 1, 3, 2]) for value in (3, 1, 3, 2)] == [1, 4, 1, 3]


def test_a_training_that_fails_is_kept_and_said(files: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "train_once", lambda *_: Measured(0.0, 0.0, 0.0, 0.1, failure="the loss is nan"))
    select(PARAMS, files, OPTIONS)
    result = json.loads(files.selection.read_text())
    assert result["kendall_tau"] is None
    assert {row["full"]["failure"] for row in result["rows"]} == {"the loss is nan"}


def test_without_a_condensed_set_the_way_out_is_named(files: Workspace, planted_split: Split):
    swapped = Split(planted_split.train, planted_split.test, planted_split.valid)
    write_split_folder(files, swapped)
    Selection(PARAMS, files, OPTIONS)  # same training data
    fewer = planted_split.train.take(planted_split.train.users > 0)
    write_split_folder(files, Split(fewer, planted_split.valid, planted_split.test))
    with pytest.raises(DataError, match=r"was made from other training data than .*; run the pipeline first"):
        Selection(PARAMS, files, OPTIONS)
    empty = Workspace(files.root / "empty")
    with pytest.raises(DataError, match=r"data/condensed does not exist; run the pipeline first"):
        select(PARAMS, empty, OPTIONS)
    with pytest.raises(ConfigError, match="a ranking needs 2"):
        select(SelectParams(grid={"ease": {}}), files, OPTIONS)


def test_rows_that_cannot_be_read_are_named(files: Workspace):
    files.selection_rows.parent.mkdir(exist_ok=True)
    for text in ("{", '{"a": 1}', "[]"):
        files.selection_rows.write_text(text)
        with pytest.raises(DataError, match=r"selection\.rows\.json cannot be read; remove it"):
            Selection(PARAMS, files, OPTIONS)
