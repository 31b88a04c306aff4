"""The search: it moves towards what helps, stays within the budget and says what it does."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.feasible_set import AdamStep, FeasibleSet, NaturalStep
from dconrec_core.condensation.inner import Look
from dconrec_core.condensation.policy_gradient import DConRec, DConRecConfig, DConRecPaper, DConRecPaperConfig
from dconrec_core.condensation.proposal import AXES, CORNERS, Rule
from dconrec_core.errors import BudgetError, ConfigError
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Budget, CandidatePool, Interactions, Split
from tests.contracts import noisy_pool, planted_pool

SMALL: dict[str, Any] = {"start": "teacher", "tail_threshold": 0, "outer_epochs": 10, "refresh": 5, "warm_epochs": 10}


def run(pool: CandidatePool, split: Split, ratio: float = 0.5, **settings: Any) -> tuple[Any, list[EpochEvent]]:
    heard: list[EpochEvent] = []
    config = DConRecConfig(**{**SMALL, **settings})
    options = RunOptions(seed=0, device="cpu", on_epoch=heard.append)
    return DConRec(config).condense(pool, split.valid, Budget.from_ratio(ratio, split.train), options), heard


def test_proposals_told_apart_by_models_that_were_never_trained_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"warm_epochs is 0, so that proposals would be .* never trained"):
        CONDENSERS["dconrec"].configure("condense.config", {"warm_epochs": 0})


def two_tastes() -> Split:
    """Eighty users of two tastes with much to find on valid."""
    rng, users, n_items = np.random.default_rng(1), np.arange(80), 80
    liked = [2 * rng.permutation(n_items // 2) + user % 2 for user in users]

    def part(start: int, stop: int) -> Interactions:
        size = stop - start
        items = np.concatenate([items[start:stop] for items in liked])
        return Interactions.of(np.repeat(users, size), items, len(users), n_items)

    return Split(part(0, 15), part(15, 35), part(35, 40))


def test_probability_moves_from_noise_to_what_helps() -> None:
    split = two_tastes()
    pool = noisy_pool(split)
    assert pool.observed.mean() == 0.5
    result, heard = run(pool, split, 1.0, start="constant", outer_epochs=60, learning_rate=5.0, n_samples=16)
    losses = [event.metrics["valid_loss"] for event in heard]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert result.notes["kept_outer_epoch"] > 0
    assert result.observed.mean() > 0.6  # a draw from the pool has 0.5, give or take 0.01


def test_listener_hears_loss_size_and_gradient_mapping(planted_split: Split) -> None:
    result, heard = run(planted_pool(planted_split), planted_split)
    assert [event.epoch for event in heard] == list(range(1, 11))
    for event in heard:
        assert event.metrics["valid_loss"] > 0
        assert event.metrics["mapping_norm_sq"] > 0
        assert event.metrics["expected_size"] <= result.budget.n_interactions + 1e-6
    assert [event.epoch for event in heard if "valid_ndcg@10" in event.metrics] == [5, 10]
    _, shorter = run(planted_pool(planted_split), planted_split, outer_epochs=7)
    assert [event.epoch for event in shorter if "valid_ndcg@10" in event.metrics] == [5, 7]


def first_step(split: Split, **settings: Any) -> Mapping[str, float]:
    """What the first outer epoch says; masks and losses are the same whatever is done with them."""
    _, heard = run(planted_pool(split), split, **{"outer_epochs": 1, "start": "constant", **settings})
    return heard[0].metrics


def test_gradient_mapping_is_the_step_for_its_length(planted_split: Split) -> None:
    """(s − Π(s − ηg)) / η does not depend on η as long as no probability reaches 0 or 1."""
    short, long = (first_step(planted_split, learning_rate=rate) for rate in (1e-4, 1e-3))
    assert short["valid_loss"] == long["valid_loss"]
    assert short["mapping_norm_sq"] == pytest.approx(long["mapping_norm_sq"], rel=1e-6)


def test_baseline_takes_what_all_masks_share_out_of_the_step(planted_split: Split) -> None:
    settings = {"learning_rate": 1e-3, "credit": "global"}
    with_it, without = (first_step(planted_split, baseline=baseline, **settings) for baseline in (True, False))
    assert with_it["valid_loss"] == without["valid_loss"]
    assert with_it["mapping_norm_sq"] < without["mapping_norm_sq"] / 5


@pytest.mark.parametrize("credit", ["user", "global"])
def test_candidate_answers_for_its_own_user_or_for_all(credit: str, planted_split: Split) -> None:
    """Nothing is learned of users without validation interactions, unless others' losses speak for them."""
    valid = planted_split.valid.take(planted_split.valid.users >= 30)
    split = Split(planted_split.train, valid, planted_split.test)
    settings = {"start": "constant", "warm_epochs": 0, "outer_epochs": 2, "learning_rate": 0.01, "credit": credit}
    result, _ = run(planted_pool(split), split, 1.0, **settings)
    silent = result.interactions.users < 30
    assert 50 < silent.sum() < len(result) - 50
    assert (np.ptp(result.keep_prob[silent]) < 1e-6) == (credit == "user")
    assert np.ptp(result.keep_prob[~silent]) > 1e-4


def test_best_look_at_valid_is_kept(planted_split: Split) -> None:
    result, heard = run(planted_pool(planted_split), planted_split, outer_epochs=20)
    looks = [event.metrics["valid_ndcg@10"] for event in heard if "valid_ndcg@10" in event.metrics]
    assert result.notes["valid_ndcg@10"] >= max(looks)


def test_longer_search_returns_to_its_best_look(planted_split: Split) -> None:
    pool = noisy_pool(planted_split)
    settings: dict[str, Any] = {"decay": "steps", "learning_rate": 5.0, "start": "constant"}
    long, heard = run(pool, planted_split, outer_epochs=40, **settings)
    best = long.notes["kept_outer_epoch"]
    assert 0 < best < 40
    assert heard[best - 1].metrics["valid_ndcg@10"] == long.notes["valid_ndcg@10"]
    short, _ = run(pool, planted_split, outer_epochs=best, **settings)
    assert long.interactions.fingerprint() == short.interactions.fingerprint()
    assert long.keep_prob.tobytes() == short.keep_prob.tobytes()


def test_no_outer_epoch_leaves_the_teachers_choice(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    result, heard = run(pool, planted_split, outer_epochs=0)
    assert heard == []
    alike = result.interactions.users % 2 == result.interactions.items % 2
    assert alike.all()
    counts = result.interactions.user_degree
    assert counts.max() - counts.min() <= 1


def test_proposal_is_the_best_on_valid_and_the_card_says_which(planted_split: Split) -> None:
    pool = noisy_pool(planted_split)
    settings = {"start": "proposed", "outer_epochs": 0, "passes": 12, "looks": 3, "stand_in_rate": 0.2}
    result, heard = run(pool, planted_split, 0.5, **settings)
    looks = [event for event in heard if event.label == ", rules"]
    assert [event.epoch for event in looks] == list(range(1, len(looks) + 1))
    assert len(CORNERS) <= len(looks) < looks[0].total == 60
    after = heard[len(looks) :]
    assert [(event.label, event.epoch, event.total) for event in after] == [(", stand-in", n, 12) for n in (4, 8, 12)]
    rules = {Rule(**dict(zip(AXES, values, strict=True))) for values in product(*AXES.values())}
    assert result.notes["rule"] in {rule.name for rule in rules}
    assert result.notes["kept_pass"] in (0, 4, 8, 12)
    assert len(result) == result.budget.n_interactions
    rules_alone, same_looks = run(pool, planted_split, 0.5, **{**settings, "passes": 0})
    assert same_looks == looks
    assert rules_alone.notes["rule"] == result.notes["rule"]
    assert rules_alone.notes["kept_pass"] == 0


def test_what_validation_does_not_show_to_be_better_is_not_kept() -> None:
    """Everything is drawn blindly: the best of a dozen looks is the best by chance."""
    rng, users, n_items = np.random.default_rng(0), np.arange(80), 60
    drawn = np.array([rng.permutation(n_items)[:13] for _ in users])

    def part(start: int, stop: int) -> Interactions:
        return Interactions.of(np.repeat(users, stop - start), drawn[:, start:stop].ravel(), len(users), n_items)

    split = Split(part(0, 10), part(10, 12), part(12, 13))
    pool = planted_pool(split)
    settings = {"start": "proposed", "passes": 12, "looks": 3, "stand_in_rate": 0.2}
    careful, _ = run(pool, split, 0.5, min_gain=4, **settings)
    teacher, _ = run(pool, split, 0.5, start="teacher", outer_epochs=0)
    assert careful.interactions.fingerprint() == teacher.interactions.fingerprint()
    assert careful.notes["rule"] == Rule().name
    assert (careful.notes["kept_pass"], careful.notes["kept_outer_epoch"]) == (0, 0)
    greedy, _ = run(pool, split, 0.5, min_gain=0, **settings)
    assert greedy.interactions.fingerprint() != teacher.interactions.fingerprint()
    assert greedy.notes["valid_ndcg@10"] > careful.notes["valid_ndcg@10"]


def test_what_validation_shows_to_be_better_is_kept() -> None:
    """What was observed is of the wrong taste and the teacher adds what users want: holding the former back pays."""
    right = two_tastes()
    wrong = Interactions.of(right.train.users, right.train.items ^ 1, 80, 80)
    users, items = (np.concatenate((getattr(wrong, ids), getattr(right.valid, ids))) for ids in ("users", "items"))
    pairs = Interactions.of(users, items, 80, 80)
    pool = CandidatePool(pairs, wrong.contains(pairs), np.zeros(len(pairs), dtype=np.float32))
    split = Split(wrong, right.valid, right.test)
    settings = {"start": "proposed", "outer_epochs": 0, "passes": 0, "sharpness": 0.1}
    found, _ = run(pool, split, 1.0, min_gain=4, **settings)
    assert found.notes["rule"] == Rule(0.0, -1.0).name
    assert not found.observed.any()
    plain, _ = run(pool, split, 1.0, min_gain=1000, **settings)
    assert plain.notes["rule"] == Rule().name
    assert plain.notes["valid_ndcg@10"] < found.notes["valid_ndcg@10"]


def test_gain_is_weighed_against_its_error_over_the_users() -> None:
    """Differences 0.1, 0.1, 0.1 and 0.3: mean 0.15, standard deviation 0.1, standard error 0.05."""
    before, after = Look(np.array([0.2, 0.3, 0.4, 0.5])), Look(np.array([0.3, 0.4, 0.5, 0.8]))
    assert after.ndcg == pytest.approx(0.5)
    assert after.beats(before, 2.9)
    assert not after.beats(before, 3.1)
    assert not before.beats(before, 0)
    assert not Look(np.array([1.0])).beats(Look(np.array([0.0])), 1)


def test_a_wrong_setting_of_the_judge_is_named() -> None:
    configure = CONDENSERS["dconrec"].configure
    with pytest.raises(ConfigError, match=r"condense\.config\.judge.*learning_rat is not .*learning_rate"):
        configure("condense.config", {"judge": {"learning_rat": 0.1}})
    with pytest.raises(ConfigError, match=r"epochs does nothing here: it is trained for warm_epochs"):
        configure("condense.config", {"judge": {"epochs": 100}})
    configure("condense.config", {"judge": {"learning_rate": 0.05}})


def test_proposal_and_tail_share_the_budget(planted_split: Split) -> None:
    train = planted_split.train
    short = train.take((train.users >= 10) | (np.arange(len(train)) - train.indptr[train.users] < 2))
    split = Split(short, planted_split.valid, planted_split.test)
    result, _ = run(planted_pool(split), split, 0.4, tail_threshold=2, start="proposed", passes=4, outer_epochs=2)
    assert result.interactions.contains(short.take(short.users < 10)).all()
    assert len(result) == int(0.4 * len(short))


def test_papers_settings_differ_where_the_docs_say() -> None:
    ours, paper = DConRecConfig().model_dump(), DConRecPaperConfig().model_dump()
    changed = {key for key in ours if ours[key] != paper[key]}
    assert changed == {
        "outer_epochs",
        "inner_epochs",
        "start",
        "step",
        "learning_rate",
        "decay",
        "credit",
        "warm_epochs",
    }


def test_paper_keeps_its_last_probabilities(planted_split: Split) -> None:
    config = DConRecPaperConfig(outer_epochs=3, tail_threshold=0)
    budget = Budget.from_ratio(0.5, planted_split.train)
    result = DConRecPaper(config).condense(planted_pool(planted_split), planted_split.valid, budget, RunOptions())
    assert result.notes["kept_outer_epoch"] == 3
    assert len(result) == budget.n_interactions


def test_no_quality_is_reported_where_none_was_measured(planted_split: Split) -> None:
    """Without a warm start there is no trained model at a look: its ranking would be that of random numbers."""
    result, heard = run(planted_pool(planted_split), planted_split, warm_epochs=0)
    assert not any("valid_ndcg@10" in event.metrics for event in heard)
    assert "valid_ndcg@10" not in result.notes
    assert result.notes["kept_outer_epoch"] == 10


@pytest.mark.parametrize(
    ("config", "epochs", "expected"),
    [
        (DConRecConfig(outer_epochs=4, learning_rate=2), [1, 3, 4], [2, 1, 0.5]),
        (DConRecPaperConfig(), [1, 70, 71, 141, 900], [0.1, 0.1, 0.01, 0.001, 1e-4]),
    ],
)
def test_learning_rate_decays(config: DConRecConfig, epochs: list[int], expected: list[float]) -> None:
    assert [DConRec(config).learning_rate(epoch) for epoch in epochs] == pytest.approx(expected)


def test_tail_is_kept_inside_the_budget(planted_split: Split) -> None:
    train = planted_split.train
    short = train.take((train.users >= 10) | (np.arange(len(train)) - train.indptr[train.users] < 2))
    split = Split(short, planted_split.valid, planted_split.test)
    pool = planted_pool(split)
    result, _ = run(pool, split, 0.4, tail_threshold=2)
    tail = short.take(short.users < 10)
    assert result.interactions.contains(tail).all()
    assert len(result) == int(0.4 * len(short))


def test_tail_over_the_budget_is_refused_with_the_way_out(planted_split: Split) -> None:
    with pytest.raises(BudgetError, match=r"users with at most 10 interactions hold \d+, the budget is \d+; lower"):
        run(planted_pool(planted_split), planted_split, 0.05, tail_threshold=10)


@pytest.mark.parametrize("by", ["teacher", "constant"])
def test_start_spends_the_budget_in_expectation(by: Any, planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    start = FeasibleSet(pool, 0, Budget(150)).start(by, sharpness=4)
    assert start.sum() <= 150 + 1e-9
    assert start.sum() > 140
    if by == "constant":
        assert np.ptp(start) < 1e-12
    else:
        for user in range(pool.interactions.n_users):
            mine = pool.interactions.users == user
            order = np.argsort(-pool.score[mine], kind="stable")
            assert (np.diff(start[mine][order]) <= 1e-12).all()


def test_natural_step_tames_the_ends_and_adam_normalises() -> None:
    gradient, keep_prob = np.array([100.0, 100.0]), np.array([0.01, 0.5])
    np.testing.assert_allclose(NaturalStep().direction(gradient, keep_prob), [0.99, 25])
    np.testing.assert_allclose(AdamStep(2).direction(gradient, keep_prob), [1, 1], rtol=1e-6)
