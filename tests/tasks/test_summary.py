import math
from typing import Any

import pytest

from tasks.summary import Result, set_labels, summarise


def row(training_set: str, model: str = "bprmf", seed: int = 0, **figures: Any) -> dict[str, Any]:
    return {"training_set": training_set, "model": model, "seed": seed, "n_interactions": 100, "ndcg@10": 0.2} | figures


def only(results: list[Result], training_set: str) -> Result:
    (found,) = [one for one in results if one.training_set == training_set]
    return found


def timing(**seconds: float) -> dict[str, Any]:
    rows = [
        {"training_set": name, "model": "bprmf", "seed": 0, "train_seconds": value} for name, value in seconds.items()
    ]
    return {"evaluate": {"rows": rows}, "pretrain": {"stage_seconds": 2.0}, "condense": {"stage_seconds": 10.0}}


def test_order_is_full_condensed_the_rest_and_the_popularity_ranking_last():
    rows = [row("full", "popularity"), row("random"), row("condensed"), row("full"), row("full", "lightgcn")]
    found = [(one.model, one.training_set) for one in summarise({"rows": rows}, {})]
    assert found == [
        ("bprmf", "full"),
        ("bprmf", "condensed"),
        ("bprmf", "random"),
        ("lightgcn", "full"),
        ("popularity", "full"),
    ]


def test_mean_and_sample_deviation_over_seeds():
    rows = [row("full", seed=seed, **{"ndcg@10": value}) for seed, value in enumerate((0.1, 0.2, 0.3))]
    (result,) = summarise({"rows": rows}, {})
    assert result.n_seeds == 3
    assert (result.ndcg.mean, result.ndcg.std) == pytest.approx((0.2, 0.1))


def test_one_seed_has_no_spread():
    (result,) = summarise({"rows": [row("full")]}, {})
    assert result.ndcg.std is None


def test_same_settings_is_a_share_of_full_with_the_same_seed():
    rows = [row("full", seed=0), row("full", seed=1, **{"ndcg@10": 0.4})]
    rows += [row("condensed", seed=seed, **{"same_settings_ndcg@10": 0.1}) for seed in (0, 1)]
    assert only(summarise({"rows": rows}, {}), "condensed").same_settings == pytest.approx((0.5 + 0.25) / 2)


def test_speed_up_and_break_even_by_hand():
    result = only(summarise({"rows": [row("full"), row("condensed")]}, timing(full=8.0, condensed=2.0)), "condensed")
    assert (result.speed_up, result.break_even) == (4.0, 2.0)


def test_slower_training_never_breaks_even():
    result = only(summarise({"rows": [row("full"), row("condensed")]}, timing(full=2.0, condensed=2.0)), "condensed")
    assert result.break_even == math.inf


@pytest.mark.parametrize("missing", ["evaluate", "pretrain", "condense"])
def test_no_break_even_without_every_timing(missing: str):
    timings = timing(full=8.0, condensed=2.0)
    del timings[missing]
    assert only(summarise({"rows": [row("full"), row("condensed")]}, timings), "condensed").break_even is None


def test_an_inductive_set_says_so_in_words():
    rows = [row("full", inductive=False), row("condensed", inductive=True), row("random-users", inductive=True)]
    results = summarise({"rows": rows}, {})
    assert [one.kind for one in results] == ["transductive", "inductive", "inductive"]
    labels = set_labels(results)
    assert labels["full"] == "Full data"
    assert (labels["condensed"], labels["random-users"]) == ("Condensed, inductive", "Random users, inductive")


def test_unknown_training_set_keeps_its_name():
    (result,) = summarise({"rows": [row("greedy")]}, {})
    assert result.label == "greedy"
