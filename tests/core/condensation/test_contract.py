"""Every condenser of the registry: within budget, from the pool, repeatable, blind to test."""

import inspect

import numpy as np
import pytest

from dconrec_core.condensation import CONDENSERS, source_model
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, CandidatePool, Interactions, Split
from tests.contracts import QUICK, condensed, planted_pool

every_condenser = pytest.mark.parametrize("name", sorted(CONDENSERS))
RANDOM = {
    "random",
    "random-pool",
    "random-users",
    "dconrec",
    "dconrec-paper",
    "synthetic-users",
    "synthetic-users-policy",
    "random-per-user",
    "k-core",
    "forgetting",
    "loss",
    "herding",
    "k-centre",
    "gradient-matching",
}
CORESETS = {
    "random-per-user",
    "k-core",
    "pagerank",
    "forgetting",
    "loss",
    "herding",
    "k-centre",
    "gradient-matching",
}
OBSERVED_ONLY = {"random", "random-users", "popularity", *CORESETS}


def test_sweep_covers_the_registry() -> None:
    others = {"auto", "dconrec", "dconrec-paper", "popularity", "random", "random-pool", "random-users"}
    assert set(CONDENSERS) == others | CORESETS | {"synthetic-users", "synthetic-users-policy", "teacher-top"}


@every_condenser
def test_the_source_model_is_what_a_condenser_trains_inside(name: str, planted_split: Split) -> None:
    nothing_trained = {"random-per-user", "k-core", "pagerank", "popularity", "teacher-top"}
    drawn = {"random", "random-pool", "random-users"}
    expected = {"synthetic-users": "ridge", "synthetic-users-policy": "ridge", "auto": ""}
    expected |= dict.fromkeys(nothing_trained | drawn, "")
    assert source_model(name) == expected.get(name, "bprmf")
    noted = condensed(name, planted_pool(planted_split), planted_split, 0.5).notes.get("source_model", "")
    assert noted in ("", source_model(name))


@pytest.mark.parametrize("name", sorted(CORESETS))
def test_a_coreset_is_a_part_of_train_that_pseudo_interactions_and_valid_do_not_move(
    name: str, planted_split: Split
) -> None:
    train, nothing = planted_split.train, planted_split.valid.take([])
    alone = CandidatePool(train, np.ones(len(train), dtype=bool), np.zeros(len(train), dtype=np.float32))
    bare = condensed(name, alone, Split(train, nothing, planted_split.test), 0.3)
    result = condensed(name, planted_pool(planted_split), planted_split, 0.3)
    assert result.observed.all()
    assert result.interactions.fingerprint() == bare.interactions.fingerprint()


@every_condenser
@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.7])
def test_spends_exactly_the_budget_and_says_what_it_stands_for(name: str, ratio: float, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    result = condensed(name, pool, planted_split, ratio)
    assert len(result) == int(ratio * len(planted_split.train))
    assert result.interactions.n_items == planted_split.train.n_items
    assert result.n_users_source == planted_split.train.n_users
    assert result.n_source == len(planted_split.train)
    assert result.source == planted_split.train.fingerprint()
    assert result.condenser == name


@every_condenser
def test_origin_is_told_truly(name: str, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    result = condensed(name, pool, planted_split, 0.5)
    if not result.inductive:
        assert pool.interactions.contains(result.interactions).all()
        np.testing.assert_array_equal(planted_split.train.contains(result.interactions), result.observed)
    elif result.observed.any():
        assert copied_from_real_users(result.interactions, planted_split.train)
    assert result.keep_prob.min() >= 0
    assert result.keep_prob.max() <= 1


def copied_from_real_users(histories: Interactions, train: Interactions) -> bool:
    """Whether every history is a real user's, or a part of it."""
    shared = histories.csr() @ train.csr().T
    return bool((shared.toarray().max(axis=1) == histories.user_degree).all())


@every_condenser
def test_an_inductive_set_has_users_of_its_own_who_all_have_a_history(name: str, planted_split: Split) -> None:
    result = condensed(name, planted_pool(planted_split), planted_split, 0.25)
    if result.inductive:
        assert result.interactions.n_users <= len(result)
        assert result.interactions.user_degree.min() >= 1
    else:
        assert result.interactions.n_users == planted_split.train.n_users


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
    entry = CONDENSERS[name]
    condenser = entry.build(entry.configure(name, QUICK.get(name, {})))
    options = RunOptions(device="cpu")
    result = condenser.condense(pool, planted_split.valid, Budget(10 * len(pool)), options)
    if result.synthetic:
        assert len(result) == result.interactions.n_users * result.interactions.n_items
    else:
        assert len(result) == (int(pool.observed.sum()) if name in OBSERVED_ONLY else len(pool))


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
