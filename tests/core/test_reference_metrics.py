"""Our evaluator against RecBole's on the same scores (``tests/reference/compare_metrics.py`` made the numbers)."""

import json
from pathlib import Path

import numpy as np
import pytest

from dconrec_core.evaluation import RankingTask
from dconrec_core.types import Interactions, Split
from tests.reference import cases as reference

EXPECTED = json.loads((Path(reference.__file__).parent / "expected_metrics.json").read_text())["cases"]
CASES = reference.cases()


def interactions(pairs: reference.Pairs) -> Interactions:
    users, items = zip(*pairs, strict=True)
    return Interactions.of(users, items, reference.N_USERS, reference.N_ITEMS)


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[reference.Case, dict[str, dict[str, float]]]:
    return CASES[request.param], EXPECTED[request.param]


def test_expected_values_were_made_from_these_inputs(case):
    inputs, expected = case
    assert inputs.sha256() == expected["inputs_sha256"], "run tests/reference/compare_metrics.py again"


@pytest.mark.parametrize("phase", ["valid", "test"])
def test_metrics_equal_recbole(case, phase):
    inputs, expected = case
    split = Split(interactions(inputs.train), interactions(inputs.valid), interactions(inputs.test))
    task = RankingTask.valid(split.train, split.valid) if phase == "valid" else RankingTask.test(split)

    got = task.measure(lambda users: inputs.scores[users], reference.CUTOFFS)

    assert set(got) == {f"{metric}@{k}" for metric in ("recall", "ndcg") for k in reference.CUTOFFS}
    assert got == pytest.approx(expected[phase], abs=1e-6)


def test_cases_hold_what_evaluators_get_wrong():
    inputs = CASES["ties"]
    tested = np.bincount([user for user, _ in inputs.test], minlength=reference.N_USERS)
    seen = np.bincount([user for user, _ in (*inputs.train, *inputs.valid)], minlength=reference.N_USERS)
    assert (tested == 0).any(), "a user with nothing to find"
    assert (reference.N_ITEMS - seen < max(reference.CUTOFFS)).any(), "a user with fewer candidates than the cut-off"
    assert (tested > max(reference.CUTOFFS)).any(), "a user with more to find than the cut-off"
    assert len(np.unique(inputs.scores)) < max(reference.CUTOFFS), "ties within every list"
