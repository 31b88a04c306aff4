"""Two rankings of the same configurations, by hand; and what one training shows."""

from dataclasses import replace

import pytest

from dconrec_core.comparison import train_and_measure, warm_up
from dconrec_core.condensation import CONDENSERS
from dconrec_core.errors import ConfigError, DataError, TrainingError
from dconrec_core.models import MODELS
from dconrec_core.models.bprmf import BPRMF
from dconrec_core.options import RunOptions
from dconrec_core.selection import (
    GRID,
    Configuration,
    Measured,
    by_turns,
    configurations,
    rank_agreement,
    shortlists,
    train_once,
)
from dconrec_core.types import Budget, CandidatePool, Split

QUICK = {"embedding_size": 4, "epochs": 10}


def side(**figures: tuple[float, float, float]) -> dict[str, Measured]:
    """Name → validation, test, seconds."""
    return {name: Measured(valid, test, 0.5, seconds) for name, (valid, test, seconds) in figures.items()}


def test_agreement_hand_worked():
    # By valid, C ranks a b c d and T ranks b a c d: of the 6 pairs one is discordant, so τ = (5 - 1) / 6.
    condensed = side(a=(0.4, 0.1, 1), b=(0.3, 0.1, 1), c=(0.2, 0.1, 2), d=(0.1, 0.1, 1))
    # By test T ranks a c b d: of the pairs (b, c) alone is discordant.
    full = side(a=(0.5, 0.21, 10), b=(0.6, 0.20, 20), c=(0.3, 0.205, 10), d=(0.2, 0.10, 10))
    found = rank_agreement(condensed, full)
    assert found.n_configurations == 4
    assert found.kendall_tau == pytest.approx(4 / 6)
    assert found.kendall_tau_test == pytest.approx(4 / 6)
    assert (found.chosen, found.best) == ("a", "b")
    assert found.regret == pytest.approx((0.20 - 0.21) / 0.20)  # the choice happens to do better on test
    assert found.regret_at_random == pytest.approx((0.20 - 0.715 / 4) / 0.20)
    assert (found.seconds_condensed, found.seconds_full, found.time_ratio) == (5, 50, 10)


def test_regret_is_a_share_of_what_the_best_on_full_data_reaches():
    condensed, full = side(a=(0.2, 0, 1), b=(0.1, 0, 1)), side(a=(0.3, 0.15, 1), b=(0.4, 0.2, 1))
    found = rank_agreement(condensed, full)
    assert found.regret == pytest.approx(0.25)
    assert found.kendall_tau == -1


def test_ties_are_corrected_for_and_the_first_of_equals_is_chosen():
    # Pairs: (a, b) tied on C alone; (a, c) and (b, c) concordant: τ-b = 2 / sqrt((3 - 1) * 3).
    condensed = side(a=(0.3, 0, 1), b=(0.3, 0, 1), c=(0.1, 0, 1))
    full = side(a=(0.2, 0.2, 1), b=(0.3, 0.3, 1), c=(0.1, 0.1, 1))
    found = rank_agreement(condensed, full)
    assert found.kendall_tau == pytest.approx(2 / 6**0.5)
    assert (found.chosen, found.best) == ("a", "b")


def test_what_ranks_nothing_has_no_agreement():
    tied, ranked = side(a=(0.0, 0.0, 0), b=(0.0, 0.0, 0)), side(a=(0.2, 0.0, 1), b=(0.3, 0.0, 1))
    found = rank_agreement(tied, ranked)
    assert (found.kendall_tau, found.kendall_tau_test, found.regret, found.time_ratio) == (None, None, None, None)


def test_a_shortlist_costs_its_trainings_on_full_data_and_is_chosen_from_by_them():
    condensed = side(a=(0.4, 0.1, 1), b=(0.3, 0.1, 1), c=(0.3, 0.1, 2), d=(0.1, 0.1, 1))
    full = side(a=(0.5, 0.18, 10), b=(0.4, 0.30, 20), c=(0.6, 0.20, 30), d=(0.7, 0.24, 40))
    one, two, three, four = shortlists(condensed, full, sizes=(1, 2, 3, 4, 5))
    assert [found.size for found in (one, two, three, four)] == [1, 2, 3, 4]
    assert [found.chosen for found in (one, two, three, four)] == ["a", "a", "c", "d"]  # by valid, never by test
    assert [found.seconds for found in (one, two, three, four)] == [15, 35, 65, 105]
    assert one.regret == two.regret == pytest.approx(0.25)
    assert (three.regret, four.regret) == (pytest.approx(1 / 6), 0)
    assert two.time_ratio == pytest.approx(100 / 35)
    assert one.chosen == rank_agreement(condensed, full).chosen


def test_in_a_shortlist_the_models_take_turns():
    """A set favours some models over others; of one model, near equals say the same twice."""
    ranked = {"bprmf a": 0.5, "bprmf b": 0.4, "ease a": 0.3, "bprmf c": 0.2, "ease b": 0.1}
    condensed = side(**{name: (valid, 0, 1) for name, valid in ranked.items()})
    full = side(**{name: (1 - valid, valid, 1) for name, valid in ranked.items()})  # the later, the better on full data
    chosen = [found.chosen for found in shortlists(condensed, full, sizes=range(1, 6))]
    assert chosen == ["bprmf a", "ease a", "ease a", "ease b", "ease b"]  # order: a a b b c


def test_trainings_that_failed_stand_last_in_a_shortlist_and_of_equals_the_first_is_best():
    condensed = side(**{"bprmf a": (0.3, 0, 1), "bprmf b": (0.2, 0, 1), "ridge a": (0.0, 0, 1)})
    condensed["ridge a"] = replace(condensed["ridge a"], failure="too large")
    assert by_turns(condensed) == ["bprmf a", "bprmf b", "ridge a"]
    full = side(**{"bprmf b": (0.2, 0.1, 1), "bprmf a": (0.2, 0.3, 1)})
    (_, two) = shortlists(condensed, full, sizes=(1, 2))
    assert two.chosen == rank_agreement(condensed, full).best == "bprmf a"


def test_a_shortlist_of_equals_keeps_their_order_and_nothing_reachable_is_no_regret():
    condensed, full = side(a=(0.3, 0, 0), b=(0.3, 0, 0)), side(a=(0.1, 0.0, 0), b=(0.2, 0.0, 0))
    (found,) = shortlists(condensed, full, sizes=(1,))
    assert (found.chosen, found.regret, found.time_ratio) == ("a", None, None)


def test_where_a_shortlist_alone_was_trained_on_full_data_what_needs_all_of_it_is_unknown():
    condensed = side(a=(0.4, 0.1, 1), b=(0.3, 0.1, 1), c=(0.3, 0.1, 2), d=(0.1, 0.1, 1))
    full = side(b=(0.6, 0.20, 20), a=(0.5, 0.21, 10))
    found = rank_agreement(condensed, full)
    assert (found.n_configurations, found.chosen, found.best) == (4, "a", "b")
    assert (found.seconds_condensed, found.seconds_full) == (5, 30)
    unknown = (found.kendall_tau, found.kendall_tau_test, found.regret, found.regret_at_random, found.time_ratio)
    assert unknown == (None,) * 5
    one, two = shortlists(condensed, full, sizes=(1, 2, 3))
    assert ((one.chosen, one.seconds), (two.chosen, two.seconds)) == (("a", 15), ("b", 35))
    assert (two.regret, two.time_ratio) == (None, None)


def test_what_cannot_be_compared_is_refused():
    one, other = side(a=(0.1, 0.1, 1), b=(0.2, 0.1, 1)), side(a=(0.1, 0.1, 1))
    with pytest.raises(DataError, match="'b' was trained on full data alone"):
        rank_agreement(other, one)
    with pytest.raises(DataError, match="1 configurations were trained, a ranking needs 2"):
        rank_agreement(other, other)
    with pytest.raises(DataError, match="nothing was trained on full data"):
        rank_agreement(one, {})


def test_a_grid_is_every_combination_of_each_models_values():
    found = configurations({"ease": {"regularization": [[1], [2, 3]]}, "lightgcn": {"n_layers": [1, 3]}, "bprmf": {}})
    assert [one.name for one in found] == [
        "ease regularization 1", "ease regularization 2/3", "lightgcn n_layers 1", "lightgcn n_layers 3", "bprmf",
    ]  # fmt: skip
    assert found[1] == Configuration("ease", {"regularization": [2, 3]})


def test_the_default_grid_is_large_enough_and_has_every_model_that_learns():
    found = configurations(GRID)
    assert len(found) >= 24
    assert {one.model for one in found} == set(MODELS) - {"graph-filter"}  # a teacher: it learns nothing from a set


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"bprfm": {}}, "select.grid is 'bprfm'; did you mean 'bprmf'?"),
        ({"bprmf": {"epoch": [3]}}, "select.grid.bprmf.epoch is not a setting; did you mean 'epochs'?"),
        ({"bprmf": {"epochs": [0, 1]}}, "select.grid.bprmf.epochs is 0: input should be greater than or equal to 1"),
        ({"bprmf": {"epochs": [1, 1]}}, "select.grid holds 'bprmf epochs 1' twice"),
        ({"bprmf": {"epochs": [1, 2]}, "ease": {"regularization": []}}, "select.grid.ease.regularization is empty"),
        ({"bprmf": {}}, "select.grid holds 1 configurations, a ranking needs 2"),
        ({}, "select.grid holds 0 configurations"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_before_anything_is_trained(grid, message):
    with pytest.raises(ConfigError) as error:
        configurations(grid)
    assert str(error.value).startswith(message)


def test_one_training_shows_what_a_search_of_one_step_shows(planted_split: Split):
    seen = train_once(Configuration("bprmf", QUICK), planted_split.train, planted_split, RunOptions(3, "cpu"))
    same = train_and_measure("bprmf", QUICK, planted_split.train, planted_split, 1, RunOptions(3, "cpu"))
    assert (seen.valid, seen.test, seen.recall, seen.best_epoch) == (
        same.history.best_valid, same.metrics["ndcg@10"], same.metrics["recall@20"], same.history.best_epoch,
    )  # fmt: skip
    assert seen.seconds > 0
    assert seen.failure == ""


def test_a_set_with_users_of_its_own_is_measured_by_folding_real_ones_in(planted_split: Split):
    train = planted_split.train
    pool = CandidatePool(train, train.users >= 0, (train.users * 0).astype("float32"))
    entry = CONDENSERS["random-users"]
    some = entry.build(entry.config_class()).condense(pool, planted_split.valid, Budget(200), RunOptions(0, "cpu"))
    assert some.inductive
    seen = train_once(
        Configuration("ridge", {}), some.interactions, planted_split, RunOptions(0, "cpu"), inductive=True
    )
    assert seen.valid > 0.3  # the two tastes are there in few users, too
    with pytest.raises(DataError, match="make the task inductive"):
        train_once(Configuration("ridge", {}), some.interactions, planted_split, RunOptions(0, "cpu"))


def test_a_training_that_fails_ranks_last_and_says_why(planted_split: Split, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise TrainingError("the loss is nan")

    warm_up("bprmf", False, "cpu")
    monkeypatch.setattr(BPRMF, "fit", fail)
    seen = train_once(Configuration("bprmf", {}), planted_split.train, planted_split, RunOptions(0, "cpu"))
    assert (seen.valid, seen.test, seen.failure) == (0, 0, "the loss is nan")
