import pytest

from dconrec_core.atomic import write_json
from dconrec_core.condensation import CONDENSERS
from tasks.gate import RANDOM_BASELINES, judge, judge_files
from tasks.params import GateParams
from tasks.summary import Estimate, Result
from tasks.workspace import Workspace


def result(training_set, ndcg, quality, model="bprmf"):
    return Result(training_set, model, 1, 10, Estimate(ndcg), None, Estimate(quality), None, None, None, None)


GOOD = [result("full", 0.3, 1.0), result("condensed", 0.28, 0.93), result("random", 0.2, 0.66)]


def outcomes(results, **gate):
    return {outcome.rule: (outcome.passed, outcome.reason) for outcome in judge(GateParams(**gate), results)}


def test_every_rule_tells_its_numbers():
    assert outcomes(GOOD) == {
        "min_quality": (True, "bprmf 93.0% of full data, at least 90.0% needed"),
        "above_baselines": (True, "bprmf 0.2800 against 0.2000 (random)"),
    }


def test_one_weak_model_fails_the_gate():
    weak = [*GOOD, result("full", 0.3, 1.0, "lightgcn"), result("condensed", 0.24, 0.8, "lightgcn")]
    assert not outcomes(weak)["above_baselines"][0]  # nor can it be compared
    assert outcomes(weak)["min_quality"] == (False, "bprmf 93.0%, lightgcn 80.0% of full data, at least 90.0% needed")


@pytest.mark.parametrize(("ndcg", "passed"), [(0.27, True), (0.28, False), (0.29, False)])
def test_the_best_random_baseline_must_be_beaten(ndcg, passed):
    assert outcomes([*GOOD, result("random-pool", ndcg, 0.9)])["above_baselines"][0] is passed


@pytest.mark.parametrize("name", [name for name in CONDENSERS if name.startswith("random")])
def test_every_condenser_that_draws_by_lot_must_be_beaten(name):
    assert name in RANDOM_BASELINES
    others = [one for one in GOOD if one.training_set != name]
    assert outcomes([*others, result(name, 0.29, 0.97)])["above_baselines"] == (
        False,
        f"bprmf 0.2800 against 0.2900 ({name})",
    )


def test_without_a_random_baseline_nothing_is_shown():
    assert outcomes(GOOD[:2])["above_baselines"] == (
        False,
        "nothing to compare bprmf with; add random, random-pool, random-users or random-per-user to evaluate.baselines",
    )
    assert list(outcomes(GOOD[:2], above_baselines=False)) == ["min_quality"]


def test_the_popularity_ranking_is_no_downstream_model():
    assert outcomes([*GOOD, result("full", 0.1, 0.33, "popularity")])["min_quality"][0]


def test_nothing_evaluated_is_not_passed():
    assert outcomes([])["min_quality"] == (False, "no downstream model of full data, at least 90.0% needed")


def test_the_checks_of_an_increment_count_for_the_data_it_made_and_no_other(tmp_path):
    files = Workspace(tmp_path)
    for path in (files.validated / "checks.json", files.split / "checks.json", files.condensed_checks):
        write_json(path, {"passed": True})
    write_json(files.refresh, {"increment": "tuesday.csv", "after": "0a1b", "passed": False})
    for sha256, reason in (("0a1b", "increment missing or failed"), ("ffff", "ratings, prepared, condensed passed")):
        write_json(files.raw / "source.json", {"dataset": "file", "sha256": sha256})
        checks = next(outcome for outcome in judge_files(files) if outcome.rule == "data_checks")
        assert checks.reason == reason
