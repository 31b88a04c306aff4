"""Every condenser of the registry: within budget, from the pool, repeatable, blind to test."""

import inspect

import numpy as np
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, Split
from tests.contracts import condensed, planted_pool

every_condenser = pytest.mark.parametrize("name", sorted(CONDENSERS))
RANDOM = {"random", "random-pool", "dconrec", "dconrec-paper"}


def test_sweep_covers_the_registry() -> None:
    expected = ["dconrec", "dconrec-paper", "popularity", "random", "random-pool", "teacher-top"]
    assert sorted(CONDENSERS) == expected


@every_condenser
@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.7])
def test_spends_exactly_the_budget_on_distinct_candidates(name: str, ratio: float, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    result = condensed(name, pool, planted_split, ratio)
    assert len(result) == int(ratio * len(planted_split.train))
    assert pool.interactions.contains(result.interactions).all()
    assert result.n_source == len(planted_split.train)
    assert result.source == planted_split.train.fingerprint()
    assert result.condenser == name


@every_condenser
def test_origin_is_told_truly(name: str, planted_split: Split) -> None:
    result = condensed(name, planted_pool(planted_split), planted_split, 0.5)
    np.testing.assert_array_equal(planted_split.train.contains(result.interactions), result.observed)
    assert result.keep_prob.min() >= 0
    assert result.keep_prob.max() <= 1


@every_condenser
def test_same_seed_same_set_and_another_seed_another(name: str, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    first, second, other = (condensed(name, pool, planted_split, 0.5, seed) for seed in (3, 3, 4))
    assert first.interactions.fingerprint() == second.interactions.fingerprint()
    assert first.keep_prob.tobytes() == second.keep_prob.tobytes()
    if name in RANDOM:
        assert first.keep_prob.tobytes() != other.keep_prob.tobytes() or (
            first.interactions.fingerprint() != other.interactions.fingerprint()
        )


@every_condenser
def test_budget_beyond_what_there_is_takes_all_there_is(name: str, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    observed_only = name in {"random", "popularity"}
    entry = CONDENSERS[name]
    condenser = entry.build(entry.config_class())
    options = RunOptions(device="cpu")
    result = condenser.condense(pool, planted_split.valid, Budget(10 * len(pool)), options)
    assert len(result) == (int(pool.observed.sum()) if observed_only else len(pool))


@every_condenser
def test_nothing_to_validate_on_is_no_reason_to_fail(name: str, planted_split: Split) -> None:
    """Users with two interactions leave none for valid."""
    nothing = planted_split.valid.take(np.zeros(len(planted_split.valid), dtype=bool))
    split = Split(planted_split.train, nothing, planted_split.test)
    result = condensed(name, planted_pool(split), split, 0.25)
    assert len(result) == 120
    assert np.isfinite(result.keep_prob).all()


@every_condenser
def test_test_interactions_cannot_reach_a_condenser(name: str) -> None:
    entry = CONDENSERS[name]
    parameters = inspect.signature(entry.build(entry.config_class()).condense).parameters
    assert list(parameters) == ["pool", "valid", "budget", "options"]
