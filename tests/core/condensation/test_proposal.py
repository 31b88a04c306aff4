"""How the budget is shared out before anything is searched for: exact counts, whoever has how much."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.base import best_candidates
from dconrec_core.condensation.inner import Look
from dconrec_core.condensation.proposal import AXES, CORNERS, Rule, climb, proposed_logits, shares, standardised
from dconrec_core.types import CandidatePool, Interactions


def pool_of(counts: list[int], observed: float = 1.0, seed: int = 0) -> CandidatePool:
    """Users with so many candidates each, scored at random."""
    rng, n_items = np.random.default_rng(seed), max(counts)
    pairs = Interactions.of(
        np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts]),
        len(counts), n_items,
    )  # fmt: skip
    return CandidatePool(pairs, rng.random(len(pairs)) < observed, rng.normal(size=len(pairs)).astype(np.float32))


def counts_kept(pool: CandidatePool, rule: Rule, left: int) -> list[int]:
    logits = proposed_logits(pool, rule, np.zeros(len(pool), dtype=bool), left)
    kept = best_candidates(logits, pool.score, left)
    return np.bincount(pool.interactions.users[kept], minlength=pool.interactions.n_users).tolist()


def test_shares_follow_the_weight_up_to_what_there_is() -> None:
    available, weight = np.array([10, 10, 2, 0]), np.array([1.0, 2.0, 3.0, 5.0])
    assert shares(available, weight, 8).tolist() == [2, 4, 2, 0]
    assert shares(available, weight, 100).tolist() == [10, 10, 2, 0]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(0, 200), st.integers(0, 99))
def test_shares_spend_what_can_be_spent(available: list[int], budget: int, seed: int) -> None:
    weight = np.random.default_rng(seed).random(len(available))
    quota = shares(np.array(available), weight, budget)
    assert quota.sum() == min(budget, sum(available))
    assert (quota <= available).all()
    assert quota.min() >= 0


def test_power_0_gives_all_alike_and_power_1_in_proportion() -> None:
    pool = pool_of([8, 16, 32])
    assert counts_kept(pool, Rule(0.0, 0.0), 12) == [4, 4, 4]
    assert counts_kept(pool, Rule(1.0, 0.0), 14) == [2, 4, 8]


def test_one_ranking_keeps_the_largest_standardised_scores_of_all() -> None:
    pool = pool_of([8, 16, 32])
    logits = proposed_logits(pool, Rule(None, 0.0), np.zeros(len(pool), dtype=bool), 10)
    assert set(np.argsort(-logits)[:10]) == set(np.argsort(-standardised(pool, pool.score))[:10])
    assert (logits >= 0).sum() == 10


def test_observed_ones_stand_back_by_the_rules_number() -> None:
    pool = pool_of([40, 40], observed=0.5)
    none = np.zeros(len(pool), dtype=bool)
    shares_kept = [
        pool.observed[best_candidates(proposed_logits(pool, Rule(0.0, bonus), none, 20), pool.score, 20)].mean()
        for bonus in (-9.0, 0.0, 9.0)
    ]
    assert shares_kept[0] == 0 < shares_kept[1] < shares_kept[2] == 1


def test_popular_items_stand_back_by_the_rules_number() -> None:
    """All scores alike: the rule alone decides, and item i was interacted with by i users."""
    n_users, n_items = 12, 12
    pairs = Interactions.of(np.repeat(np.arange(n_users), n_items), np.tile(np.arange(n_items), n_users), 12, 12)
    observed = pairs.items > pairs.users
    pool = CandidatePool(pairs, observed, np.zeros(len(pairs), dtype=np.float32))
    none = np.zeros(len(pool), dtype=bool)
    for weight, kept_items in ((-0.5, {0, 1, 2}), (0.5, {9, 10, 11})):
        logits = proposed_logits(pool, Rule(popularity=weight), none, 3 * n_users)
        assert set(pairs.items[best_candidates(logits, pool.score, 3 * n_users)]) == kept_items


def worth_of(best: Rule) -> dict[Rule, Look]:
    """Looks that fall with the distance to a rule, alike for all of three users but for a little."""

    def places(rule: Rule) -> list[int]:
        return [AXES[axis].index(getattr(rule, axis)) for axis in AXES]

    rules = (Rule(*values) for values in product(*(AXES[axis] for axis in ("power", "observed", "popularity"))))
    distance = {rule: sum(abs(a - b) for a, b in zip(places(rule), places(best), strict=True)) for rule in rules}
    return {rule: Look(np.array([0.9, 0.8, 0.7]) - 0.05 * far + [0, 0.001 * far, 0]) for rule, far in distance.items()}


@given(st.builds(Rule, *(st.sampled_from(AXES[axis]) for axis in ("power", "observed", "popularity"))))
def test_climbing_ends_at_the_one_best_and_looks_at_each_once(best: Rule) -> None:
    worth, asked = worth_of(best), []

    def look(rule: Rule) -> Look:
        asked.append(rule)
        return worth[rule]

    assert climb(look, worth[Rule()], 1.0) == best
    assert len(asked) == len(set(asked)) < len(worth) / 2
    assert Rule() not in asked


def test_climbing_stays_where_no_gain_is_larger_than_its_error() -> None:
    """What one user gains another loses, but for a little."""
    plain = Look(np.array([0.5, 0.5]))
    assert climb(lambda rule: Look(np.array([0.9, 0.2])), plain, 1.0) == Rule()
    assert climb(lambda rule: Look(np.array([0.9, 0.2])), plain, 0.0) != Rule()


@pytest.mark.parametrize("rule", CORNERS, ids=lambda rule: rule.name)
def test_the_tail_comes_first_and_is_inside_its_users_share(rule: Rule) -> None:
    pool = pool_of([3, 30, 30])
    tail = pool.interactions.users == 0
    logits = proposed_logits(pool, rule, tail, 9)
    assert (logits == np.inf).sum() == 3
    kept = best_candidates(logits, pool.score, 12)
    assert kept[tail].all()
    assert kept.sum() == 12


def test_standardised_scores_have_one_scale_for_all_users() -> None:
    pool = pool_of([8, 16, 32])
    wide = CandidatePool(
        pool.interactions, pool.observed, pool.score * (1 + pool.interactions.users).astype(np.float32)
    )
    np.testing.assert_allclose(standardised(wide, wide.score), standardised(pool, pool.score), atol=1e-5)
