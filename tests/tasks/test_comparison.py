"""The measurement behind every comparison: what cells share is made once, and a row is the same however it is made."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.splitting import random_split
from dconrec_core.types import Split
from flows.env import ROOT
from flows.params import read_params
from tasks import comparison
from tasks.comparison import Cell, Comparison, Once, References, Teaching
from tasks.grid import cells, cheapest_first, load_split
from tasks.params import CompareParams, Component, PipelineParams
from tasks.results_file import Results

TEACHING = Teaching(settings={"regularization": [100.0]}, pseudo_ratio=0.3, min_pseudo=5)
SECONDS = ("teacher_seconds", "condense_seconds", "train_seconds", "full_train_seconds", "speed_up", "break_even")


def cell(**changes):
    usual = {
        "dataset": "planted", "ratio": 0.25, "condenser": "random", "model": "bprmf", "seed": 0, "trials": 1,
        "teaching": TEACHING, "settings": {"epochs": 3},
    }  # fmt: skip
    return Cell(**{**usual, **changes})


@pytest.fixture
def compare(tmp_path, planted_split):
    everything = planted_split.train
    references = References(lambda apart: Results(tmp_path / "full.json", "test", apart))
    return Comparison(lambda name, seed: random_split(everything, 0.1, 0.1, seed), references)


def test_a_file_of_the_users_own_is_split_without_the_rows_that_validate_sets_aside(tmp_path):
    rows = [f"{user},{user * step % 23},{step % 5 + 1}" for user in range(1, 21) for step in range(1, 11)]
    config = {"path": str(tmp_path / "r.csv"), "rating": "rating", "rating_range": [1, 5]}
    changes = {"dataset": {"name": "file", "config": config}, "prepare": {"threshold": 3, "k_core": 0}}
    preset = read_params(ROOT, changes)

    def split(*more):
        (tmp_path / "r.csv").write_text("\n".join(["user_id,item_id,rating", *rows, *more]))
        with ThreadPoolExecutor(2) as pool:  # as cells of two seeds do
            first, _ = pool.map(lambda seed: load_split(preset, seed, tmp_path, None, RunOptions()), (0, 1))
        return first

    clean = split()
    assert split("1,12,99", ",3,5").train.fingerprint() == clean.train.fingerprint()
    with pytest.raises(DataError, match=r"r\.csv: rating must hold numbers; 1 of 201 rows do not"):
        split("1,12,abc")


def test_full_data_that_find_nothing_are_nothing_to_compare_with():
    with pytest.raises(DataError, match="a test recall@20 of 0: there is nothing to compare with; bring more data"):
        comparison.beside_full({"ndcg@10": 0.1, "recall@20": 0.1}, {"ndcg@10": 0.1, "recall@20": 0.0})


def test_full_data_are_measured_again_where_another_part_is_held_out(tmp_path, planted_split):
    """Valid and test changed places, train is the same: other settings may be chosen, and others are found."""
    references = References(lambda apart: Results(tmp_path / "full.json", "test", apart))
    other = Split(planted_split.train, planted_split.test, planted_split.valid)
    rows = [references.row("planted", 0, split, "bprmf", {"epochs": 3}, 1) for split in (planted_split, other)]
    assert rows[0]["key"] != rows[1]["key"]
    assert rows[0]["ndcg@10"] != rows[1]["ndcg@10"]


def test_a_cell_beside_a_bprmf_that_finds_nothing_has_no_share_of_it(compare, monkeypatch):
    monkeypatch.setattr(compare, "base", lambda cell: {"ndcg@10": 0.0})
    assert compare.measure(cell())["reference_quality"] is None


def test_what_is_asked_for_by_many_at_once_is_made_once():
    once, made = Once[int](keep=2), []

    def make(key):
        made.append(key)
        time.sleep(0.05)
        return key

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda key: once.get(key, lambda: make(key)), [1, 1, 1, 2, 1, 2, 1, 1]))
    assert answers == [1, 1, 1, 2, 1, 2, 1, 1]
    assert sorted(made) == [1, 2]


def test_what_is_held_is_bounded_and_a_failure_is_tried_again():
    once, made = Once[int](keep=1), []
    for key in (1, 2, 2, 1):
        once.get(key, lambda key=key: made.append(key) or key)
    assert made == [1, 2, 1]
    with pytest.raises(ZeroDivisionError):
        once.get(3, lambda: 1 // 0)
    assert once.get(3, lambda: 4) == 4


def test_cells_side_by_side_share_what_they_can_and_give_the_same_rows(compare, tmp_path, planted_split, monkeypatch):
    grid = [cell(condenser=name, ratio=ratio) for name in ("random", "teacher-top") for ratio in (0.25, 0.5)]
    one_by_one = [compare.measure(one) for one in grid]
    taught = []
    monkeypatch.setattr(comparison, "build_pool", lambda *a, real=comparison.build_pool: taught.append(1) or real(*a))
    references = References(lambda apart: Results(tmp_path / "again.json", "test", apart))
    again = Comparison(compare.load, references)
    with ThreadPoolExecutor(4) as pool:
        side_by_side = list(pool.map(again.measure, grid))
    assert len(taught) == 1
    for one, other in zip(one_by_one, side_by_side, strict=True):
        skip = (*SECONDS, "peak_rss_mb")
        assert {k: v for k, v in one.items() if k not in skip} == {k: v for k, v in other.items() if k not in skip}


def test_a_source_model_teaches_the_pool_and_is_part_of_the_case(compare):
    plain, sourced = cell(), cell(source="bprmf", source_settings={"epochs": 2})
    assert sourced.taught == Teaching("bprmf", {"epochs": 2}, 0.3, 5)
    assert plain.case != sourced.case
    assert (plain.case["source_model"], sourced.case["source_model"]) == ("", "bprmf")
    assert compare.measure(sourced)["n_interactions"] > 0


def test_memory_is_that_of_the_set_whichever_cell_had_it_made(compare, monkeypatch):
    told = iter([900.0, 700.0, 300.0, 200.0])  # teacher and pool, condensation, then two trainings
    monkeypatch.setattr(comparison, "peak_rss_mb", lambda: next(told))
    peaks = [compare.measure(cell(model=name))["peak_rss_mb"] for name in ("bprmf", "lightgcn")]
    assert peaks == [900.0, 900.0]


def test_a_set_of_real_users_is_one_case_by_id_and_another_folded_in(compare):
    by_id, folded = cell(), cell(fold_in=True)
    assert by_id.case != folded.case
    assert folded.name == f"{by_id.name}, folded in"
    one, other = compare.measure(by_id), compare.measure(folded)
    assert (one["inductive"], other["inductive"]) == (False, True)
    assert one["ndcg@10"] != other["ndcg@10"]
    for same in ("n_interactions", "full_ndcg@10", "source_fingerprint"):
        assert one[same] == other[same]


def test_a_kept_tail_is_not_asked_for_below_a_quarter():
    assert cell(condenser="dconrec-paper", ratio=0.05).condenser_settings["tail_threshold"] == 0
    assert "tail_threshold" not in cell(condenser="dconrec-paper").condenser_settings
    settings = cell(condenser="dconrec-paper", ratio=0.05, condensing={"tail_threshold": 2}).condenser_settings
    assert settings["tail_threshold"] == 2


def test_a_users_own_file_is_known_by_what_it_holds(tmp_path):
    file = tmp_path / "ratings.csv"
    own = Component(name="file", config={"path": str(file)})
    preset = read_params(ROOT).model_copy(update={"dataset": own})
    cases = []
    for text in ("user_id,item_id\n1,2\n", "user_id,item_id\n1,2\n", "user_id,item_id\n1,2\n3,4\n"):
        file.write_text(text)
        cases += [one.case for one in cells({"own": preset}, [0.25], ["random"], ["bprmf"], [0])]
    assert cases[0] == cases[1] != cases[2]


def test_full_data_are_represented_by_the_model_that_is_best_on_valid(compare, monkeypatch):
    rows = {"bprmf": (0.3, 0.1), "lightgcn": (0.2, 0.4)}
    monkeypatch.setattr(
        compare, "reference", lambda cell, name, *_: dict(zip(("valid_ndcg@10", "ndcg@10"), rows[name], strict=True))
    )
    assert compare.full(cell(beside={"lightgcn": {}, "bprmf": {}}))["ndcg@10"] == 0.1


def test_cheapest_first():
    dear = [cell(dataset="gowalla", model="ngcf"), cell(dataset="ml-1m"), cell(dataset="ml-100k", condenser="dconrec")]
    cheap = cell(dataset="ml-100k")
    assert cheapest_first([*dear, cheap])[0] == cheap
    assert cheapest_first([*dear, cheap])[-1] == dear[0]


def test_settings_of_the_section_compare_reach_their_cells() -> None:
    compare = CompareParams(
        condensers={"dconrec": {"passes": 5}, "random": {}},
        models={"lightgcn": {"n_layers": 2}},
    )
    params = read_params(ROOT)
    evaluate = params.evaluate.model_copy(update={"trials_by_model": {"lightgcn": 2}})
    preset = params.model_copy(update={"compare": compare, "evaluate": evaluate})
    plain = preset.model_copy(update={"compare": CompareParams()})
    own = plain.model_copy(update={"condense": plain.condense.model_copy(update={"name": "dconrec"})})
    own.condense.config["outer_epochs"] = 3

    def cell_of(preset: PipelineParams, condenser: str, model: str = "bprmf", source: str = "") -> Cell:
        (cell,) = cells({"ml-100k": preset}, [0.25], [condenser], [model], [0], [source])
        return cell

    assert cell_of(preset, "dconrec").condensing == {"passes": 5}
    assert cell_of(preset, "teacher-top").condensing is None
    assert cell_of(own, "dconrec").condensing == {"outer_epochs": 3}
    assert cell_of(preset, "dconrec", "lightgcn").settings == {"n_layers": 2}
    assert (cell_of(preset, "dconrec", "lightgcn").trials, cell_of(preset, "dconrec").trials) == (2, 3)
    assert cell_of(preset, "dconrec", "lightgcn").base_trials == preset.evaluate.trials == 3
    assert cell_of(preset, "dconrec", "bprmf").settings == preset.evaluate.models["bprmf"]
    assert cell_of(preset, "dconrec", source="lightgcn").taught.settings == {"n_layers": 2}
    assert cell_of(preset, "dconrec", "ngcf").settings == {}
