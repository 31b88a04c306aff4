"""The benchmarks around synthetic users, on a dataset of seconds: rows are complete and measured once."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import ablation, ceiling, headline, held_out, quality, results
from benchmarks.datasets import load_split
from benchmarks.quality import Plan, Teaching
from dconrec_core.condensation import synthetic_users
from dconrec_core.types import Interactions
from tasks import comparison

TEACHING = Teaching(settings={"regularization": [100.0]}, min_pseudo=20)
PLAN = Plan("tiny", (0.1,), ("synthetic-users",), {"bprmf": {"epochs": 10}}, TEACHING, seeds=(0,))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(quality, "PLANS", (PLAN,))
    monkeypatch.setattr(quality, "TRIALS", {"tiny": {"bprmf": 1}})
    monkeypatch.setattr(synthetic_users, "default_starts", lambda budget: 1)  # five searches show no more than one
    for module in (headline, ablation):
        monkeypatch.setattr(module, "PLANS", (PLAN,))
        monkeypatch.setattr(module, "DATASET", "tiny")
        monkeypatch.setattr(module, "RATIO", 0.1)
    for module in (headline, held_out):
        monkeypatch.setattr(module, "TUNED", {"tiny": {"bprmf": {"epochs": 10}}})
    return tmp_path


def rows(folder, name):
    return json.loads((folder / f"{name}.json").read_text())["rows"]


def test_headline_prints_both_sides_and_times_them_in_turn(folder, capsys, monkeypatch):
    headline.main(["--seed", "0"])
    (row,) = rows(folder, "headline")
    assert row["quality"] == pytest.approx(row["ndcg@10"] / row["full_ndcg@10"])
    assert row["speed_up"] == pytest.approx(row["full_train_seconds"] / row["train_seconds"], rel=0.2)
    assert row["n_interactions"] <= 0.1 * row["n_train"]
    assert row["break_even"] is None or row["break_even"] > 0
    said = capsys.readouterr().out
    assert "full data" in said
    assert f"{row['quality']:.1%} of full data's NDCG@10" in said
    before, searched, search = (folder / "full.json").read_text(), [], comparison.train_and_measure
    for module in (comparison, headline):
        monkeypatch.setattr(module, "train_and_measure", lambda *case: searched.append(case) or search(*case))
    headline.main(["--seed", "0", "--fresh"])
    assert len(searched) == 2  # full data too were trained on anew, to the side
    assert [case[4] for case in searched] == [1, 1]  # as many trials on either side
    again = rows(folder, "headline")
    assert [(one["quality"], one["seed"]) for one in again] == [(row["quality"], 0)]
    assert (folder / "full.json").read_text() == before
    monkeypatch.setattr(headline, "headline", lambda *_: pytest.fail("measured again"))
    headline.main(["--seed", "0"])
    assert f"measured at {row['commit']}" in capsys.readouterr().out
    monkeypatch.setattr(headline, "TUNED", {"tiny": {"bprmf": {"epochs": 11}}})
    changed = replace(PLAN, models={"bprmf": {"epochs": 11}})
    monkeypatch.setattr(headline, "PLANS", (changed,))
    with pytest.raises(pytest.fail.Exception, match="measured again"):  # other settings are another case
        headline.main(["--seed", "0"])


def test_ablation_changes_one_thing_at_a_time(folder, monkeypatch):
    some = ("default", "a third of the steps", "real users at random")
    monkeypatch.setattr(ablation, "VARIANTS", {name: ablation.VARIANTS[name] for name in some})
    monkeypatch.setattr(ablation, "MODELS_TRAINED", ("bprmf",))
    ablation.main(["--seed", "0"])
    found = rows(folder, "ablation")
    assert [row["variant"] for row in found] == list(some)
    assert len({row["n_interactions"] for row in found}) == 1
    assert all(row["inductive"] for row in found)


def test_ceiling_is_the_teachers_ranking_of_what_may_be_mentioned(folder, monkeypatch):
    monkeypatch.setattr(ceiling, "RATIOS", (0.01, 0.5))
    monkeypatch.setattr(synthetic_users, "default_n_items", lambda budget: budget.n_interactions // 10)
    ceiling.main(["--dataset", "tiny"])
    few, many = rows(folder, "ceiling")
    assert few["n_items_mentioned"] == few["budget"] // 10 < many["n_items_mentioned"]
    assert few["ceiling"] < many["ceiling"] == 1.0
    assert few["test_share"] < many["test_share"] == 1.0


def test_items_that_are_not_among_those_rank_last():
    score = ceiling.among(lambda users: np.tile(np.arange(4, dtype=np.float32), (len(users), 1)), np.array([0, 2]))
    assert np.argsort(-score(np.array([7])), kind="stable").tolist() == [[2, 0, 1, 3]]


def test_every_variant_is_a_setting_of_its_condenser():
    for condenser, settings in ablation.VARIANTS.values():
        quality.CONDENSERS[condenser].configure(condenser, settings)


def test_held_out_users_are_in_nothing_that_was_trained_or_chosen(folder, monkeypatch):
    split = load_split("tiny", folder, 0)
    train = split.train
    monkeypatch.setattr(held_out, "interactions", lambda *_: train)
    monkeypatch.setattr(held_out, "DATASET", "tiny")
    monkeypatch.setattr(held_out, "RATIO", 0.1)
    monkeypatch.setattr(held_out, "SEEDS", (0,))
    monkeypatch.setattr(held_out, "MODELS_TRAINED", ("bprmf",))
    monkeypatch.setattr(held_out, "TRIALS", 1)
    monkeypatch.setattr(held_out, "Teaching", lambda: TEACHING)
    held_out.main([])
    (row,) = rows(folder, "held_out")
    assert row["n_held_out"] == 6  # a twentieth of 120
    assert row["quality"] == pytest.approx(row["ndcg@10"] / row["full_ndcg@10"])
    one = held_out.HeldOut(train, 0)
    apart = set(one.others.train.users.tolist())

    def users(part: Interactions) -> set[int]:
        return set(part.users.tolist())

    assert not apart & (users(one.split.train) | users(one.split.valid) | users(one.split.test))
