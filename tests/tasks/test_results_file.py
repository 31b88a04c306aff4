"""Results files grow row by row, survive a stop, and forget what is no longer true."""

import json

import numpy as np
import pytest

from dconrec_core.errors import DataError
from tasks import results_file as results
from tasks.results_file import Results

CASE = {"dataset": "ml-100k", "seed": 0, "source": "abc", "settings": {"learning_rate": 0.1}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "quality.json"


def never():
    raise AssertionError("measured again")


def test_file_is_complete_after_each_row_and_rows_are_flat(path):
    Results(path, "make bench-quality").row(CASE, lambda: {"ndcg@10": np.float32(0.25)})
    content = json.loads(path.read_text())
    assert set(content) == {"command", "commit", "started", "versions", "machine", "rows"}
    assert content["command"] == "make bench-quality"
    (row,) = content["rows"]
    assert row["ndcg@10"] == 0.25
    assert row["core"] == results.core_fingerprint()
    assert not [value for value in row.values() if isinstance(value, dict | list)]


def test_a_second_run_goes_on_where_the_first_stopped(path):
    first = Results(path, "x")
    first.row(CASE, lambda: {"ndcg@10": 0.25})
    with pytest.raises(KeyboardInterrupt):
        first.row({**CASE, "seed": 1}, interrupt)
    second = Results(path, "x")
    assert second.row(CASE, never)["ndcg@10"] == 0.25
    assert second.row({**CASE, "seed": 1}, lambda: {"ndcg@10": 0.5})["ndcg@10"] == 0.5
    assert len(results.read_rows(path)) == 2


def test_rows_of_other_settings_stay_where_asked(path):
    other = {**CASE, "settings": {"fold_in": True}}
    for identity, kept in ((("dataset", "seed", "nested"), 2), (("dataset", "seed"), 1)):
        rows = Results(path.with_name(f"{kept}.json"), "x", identity=identity)
        rows.row(CASE, lambda: {"ndcg@10": 0.25})
        rows.row(other, lambda: {"ndcg@10": 0.5})
        assert len(results.read_rows(rows.path)) == kept
    assert Results(path.with_name("2.json"), "x").row(CASE, never)["ndcg@10"] == 0.25


def test_a_row_that_does_not_say_its_settings_is_replaced(path):
    rows = Results(path, "x", identity=("dataset", "seed", "nested"))
    rows.row(CASE, lambda: {"ndcg@10": 0.25})
    content = json.loads(path.read_text())
    content["rows"] = [{**{k: v for k, v in row.items() if k != "nested"}, "key": "old"} for row in content["rows"]]
    path.write_text(json.dumps(content))
    rows.row({**CASE, "settings": {}}, lambda: {"ndcg@10": 0.5})
    assert [row["ndcg@10"] for row in results.read_rows(path)] == [0.5]


def test_parts_that_run_side_by_side_keep_each_others_rows(path):
    one, other = Results(path, "x"), Results(path, "x")
    one.row(CASE, lambda: {"ndcg@10": 0.25})
    other.row({**CASE, "seed": 1}, lambda: {"ndcg@10": 0.5})
    one.row({**CASE, "seed": 2}, lambda: {"ndcg@10": 0.75})
    assert {row["seed"] for row in results.read_rows(path)} == {0, 1, 2}
    assert one.row({**CASE, "seed": 1}, never)["ndcg@10"] == 0.5


def test_a_part_does_not_bring_back_what_another_has_replaced(path, monkeypatch):
    Results(path, "x").row(CASE, lambda: {"ndcg@10": 0.25})
    slow = Results(path, "x")
    monkeypatch.setattr(results, "core_fingerprint", lambda *_: "changed")
    Results(path, "x").row(CASE, lambda: {"ndcg@10": 0.5})
    slow.row({**CASE, "seed": 1}, lambda: {"ndcg@10": 0.75})
    assert [(row["seed"], row["ndcg@10"]) for row in results.read_rows(path)] == [(0, 0.5), (1, 0.75)]


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("change", [{"seed": 1}, {"source": "other"}, {"settings": {"learning_rate": 0.2}}])
def test_another_case_is_measured(path, change):
    Results(path, "x").row(CASE, lambda: {"ndcg@10": 0.25})
    assert Results(path, "x").row({**CASE, **change}, lambda: {"ndcg@10": 0.5})["ndcg@10"] == 0.5


@pytest.mark.parametrize("what", ["core_fingerprint", "versions"])
def test_rows_of_other_code_or_other_versions_stand_until_they_are_measured_again(path, what, monkeypatch):
    for seed in (0, 1):
        Results(path, "x").row({**CASE, "seed": seed}, lambda: {"ndcg@10": 0.25})
    changed = {"core_fingerprint": "changed", "versions": {"torch": "0"}}[what]
    monkeypatch.setattr(results, what, lambda *_: changed)
    assert Results(path, "x").row(CASE, lambda: {"ndcg@10": 0.5})["ndcg@10"] == 0.5
    assert {row["seed"]: row["ndcg@10"] for row in results.read_rows(path)} == {0: 0.5, 1: 0.25}
    assert Results(path, "x").find({**CASE, "seed": 1}) is None  # also now that the file's header speaks of today
    Results(path, "x").finish([CASE])
    assert [row["seed"] for row in results.read_rows(path)] == [0]


def test_finish_orders_rows_and_drops_what_is_no_longer_asked_for(path):
    open_ = Results(path, "x")
    cases = [{**CASE, "seed": seed} for seed in range(3)]
    for case in cases:
        open_.row(case, lambda: {"ndcg@10": 0.25})
    assert [row["seed"] for row in open_.finish([cases[2], cases[0]])] == [2, 0]
    assert [row["seed"] for row in results.read_rows(path)] == [2, 0]


def test_finish_keeps_what_another_part_has_measured_meanwhile(path):
    one, other = Results(path, "x"), Results(path, "x")
    cases = [{**CASE, "seed": seed} for seed in range(2)]
    one.row(cases[0], lambda: {"ndcg@10": 0.25})
    other.row(cases[1], lambda: {"ndcg@10": 0.5})
    assert [row["ndcg@10"] for row in one.finish(cases)] == [0.25, 0.5]
    assert len(results.read_rows(path)) == 2


def test_rows_of_no_case_are_forgotten_and_rows_of_older_code_are_not(path, monkeypatch):
    for trials in (3, 4):
        Results(path, "x").row({**CASE, "trials": trials}, lambda: {"ndcg@10": 0.25})
    monkeypatch.setattr(results, "core_fingerprint", lambda *_: "changed")
    Results(path, "x").forget([{**CASE, "trials": 3, "settings": {"learning_rate": 0.2}}])
    assert [row["trials"] for row in results.read_rows(path)] == [3]


def test_a_broken_file_is_named(path):
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(DataError, match=r"quality\.json is not JSON .*; remove it"):
        Results(path, "x")
    for other in ("[]", '{"rows": 3}', '{"rows": [{"a": 1}]}'):
        path.write_text(other)
        with pytest.raises(DataError, match=r"quality\.json holds (no )?rows .*; remove it"):
            Results(path, "x")


def test_machine_says_what_and_not_which():
    assert set(results.machine()) == {"system", "processor", "cores", "memory_gb"}
