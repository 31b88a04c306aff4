"""One test against each defect of the reference implementation (docs/method.md) that a test can hold down.

Elsewhere: what the losses of masks tell apart and which negatives they use, in ``test_inner``; that the
condensed dataset is saved and loads, and that test cannot change it, in ``tests/tasks/test_condense``.
"""

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.augment import build_pool
from dconrec_core.condensation.bernoulli import draw_masks
from dconrec_core.condensation.dataset import condensed_frame
from dconrec_core.condensation.feasible_set import FeasibleSet
from dconrec_core.condensation.policy_gradient import DConRec, DConRecConfig
from dconrec_core.models._factors import Triplets
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.sampling import sample_negatives
from dconrec_core.types import Budget, CandidatePool, Interactions, Split
from tests.contracts import planted_pool

TAIL = 3


def with_tail(split: Split) -> Split:
    """The first ten users keep two training interactions, the others what they have."""
    train = split.train
    place = np.arange(len(train)) - train.indptr[train.users]
    return Split(train.take((train.users >= 10) | (place < 2)), split.valid, split.test)


def pairs(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


@pytest.mark.parametrize("sampler", ["readable", "compiled"])
def test_held_out_positives_are_drawn_as_negatives_like_any_unseen_item(sampler: str, planted_split: Split) -> None:
    """Its sampler avoided test positives, which tells what they are."""
    train, rounds = planted_split.train, 400
    order = np.repeat(np.arange(len(train), dtype=np.int32), rounds)
    users = train.users[order]
    if sampler == "readable":
        negatives = sample_negatives(train, users, np.random.default_rng(0))
    else:
        triplets = Triplets(train, np.random.default_rng(0))
        triplets.random = np.array([1], dtype=np.uint64)
        negatives = triplets.negatives(order)
    drawn = np.bincount(users.astype(np.int64) * 40 + negatives, minlength=60 * 40).reshape(60, 40)
    expected = (train.user_degree * rounds / (40 - train.user_degree))[:, None]
    share = drawn / expected
    assert (share[train.users, train.items] == 0).all()
    for held_out in (planted_split.valid, planted_split.test):
        assert share[held_out.users, held_out.items].mean() == pytest.approx(1, abs=0.05)
        assert share[held_out.users, held_out.items].min() > 0.5


@pytest.mark.parametrize("step", ["natural", "adam"])
def test_a_condenser_starts_afresh_every_time(step: str, planted_split: Split) -> None:
    """Its gradient was added to the last one for ever."""
    settings = {"tail_threshold": 0, "outer_epochs": 3, "warm_epochs": 2, "step": step}
    condenser = DConRec(DConRecConfig.model_validate(settings))
    pool, budget = planted_pool(planted_split), Budget(120)
    first, second = (condenser.condense(pool, planted_split.valid, budget, RunOptions()) for _ in range(2))
    assert first.keep_prob.tobytes() == second.keep_prob.tobytes()
    assert first.interactions.fingerprint() == second.interactions.fingerprint()


@pytest.mark.parametrize("start", ["teacher", "constant"])
@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5])
def test_budget_means_one_thing_from_start_to_end_with_the_tail_inside(
    start: str, ratio: float, planted_split: Split
) -> None:
    """It had three budgets, and the tail on top of them: 25 % were 47 %."""
    split = with_tail(planted_split)
    pool, budget = planted_pool(split), Budget.from_ratio(ratio, split.train)
    sizes: list[float] = []

    def listen(event: EpochEvent, /) -> None:
        sizes.append(event.metrics["expected_size"])

    first = FeasibleSet(pool, TAIL, budget).start(start, 4)  # type: ignore[arg-type]
    masks = draw_masks(first, 200, np.random.default_rng(0))
    settings = {"start": start, "tail_threshold": TAIL, "outer_epochs": 5, "warm_epochs": 2, "learning_rate": 0.5}
    options = RunOptions(on_epoch=listen)
    result = DConRec(DConRecConfig.model_validate(settings)).condense(pool, split.valid, budget, options)
    assert first.sum() <= budget.n_interactions + 1e-6
    assert masks.sum(axis=1).mean() == pytest.approx(budget.n_interactions, rel=0.05)
    assert len(sizes) == 5
    assert max(sizes) <= budget.n_interactions + 1e-6
    assert len(result) == budget.n_interactions
    tail = split.train.take(split.train.user_degree[split.train.users] <= TAIL)
    assert len(tail) == 20
    assert pairs(tail) <= pairs(result.interactions)


@pytest.mark.parametrize("offset", [-1000.0, -2.0, 0.0, 1000.0])
def test_seen_items_are_never_pseudo_however_low_the_others_score(offset: float, planted_split: Split) -> None:
    """It masked seen items with a score of -1: above that of many unseen ones."""
    train = planted_split.train
    seen = np.zeros((60, 40), dtype=np.float32)
    seen[train.users, train.items] = 1
    pool = build_pool(lambda users: seen[users] + np.float32(offset), train, 2.0, 30, RunOptions())
    assert pool.train.fingerprint() == train.fingerprint()
    assert not pairs(train) & pairs(pool.interactions.take(~pool.observed))
    assert (pool.interactions.user_degree == 8 + 30).all()


def test_users_without_interactions_get_none_in_pool_or_condensed_set(planted_split: Split) -> None:
    """The padding user 0 received pseudo interactions."""
    train = planted_split.train
    split = Split(train.take(~np.isin(train.users, [0, 31, 59])), planted_split.valid, planted_split.test)
    pool = planted_pool(split)
    known = pool.interactions.user_degree > 0
    assert np.flatnonzero(~known).tolist() == [0, 31, 59]
    for name in ("dconrec", "teacher-top", "random-pool"):
        settings = {"outer_epochs": 2, "warm_epochs": 2, "tail_threshold": 0} if name == "dconrec" else {}
        condenser = CONDENSERS[name].build(CONDENSERS[name].configure(name, settings))
        result = condenser.condense(pool, split.valid, Budget.from_ratio(0.5, split.train), RunOptions())
        assert not {0, 31, 59} & set(result.interactions.users.tolist())


def test_candidates_carry_the_teachers_score_and_no_made_up_rating(planted_split: Split) -> None:
    """It gave pseudo interactions random ratings of 3, 4 or 5."""
    table = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    pool = build_pool(lambda users: table[users], planted_split.train, 0.5, 5, RunOptions())
    np.testing.assert_array_equal(pool.score, table[pool.interactions.users, pool.interactions.items])
    entry = CONDENSERS["random-pool"]
    result = entry.build(entry.config_class()).condense(pool, planted_split.valid, Budget(100), RunOptions())
    users = pd.DataFrame({"user": np.arange(60), "user_id": np.arange(60)})
    items = pd.DataFrame({"item": np.arange(40), "item_id": np.arange(40)})
    columns = condensed_frame(result, users, items).columns.tolist()
    assert columns == ["user", "item", "user_id", "item_id", "observed", "keep_prob"]


def test_pool_of_a_large_catalogue_never_holds_all_scores_at_once() -> None:
    """It kept a dense users × items matrix: 15 GB on MovieLens 20M."""
    n_users, n_items = 3000, 20_000
    train = Interactions.of(np.arange(n_users), np.arange(n_users), n_users, n_items)
    largest = 0

    def score(users: np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(users) * n_items)
        return np.broadcast_to(np.arange(n_items, dtype=np.float32), (len(users), n_items)).copy()

    pool = build_pool(score, train, 0.0, 1, RunOptions())
    assert isinstance(pool, CandidatePool)
    assert len(pool) == 2 * n_users
    assert largest < n_users * n_items / 5
