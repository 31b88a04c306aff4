"""A search that goes on from an earlier set keeps what was good of it, and lets go of what is no longer there."""

import numpy as np
import pytest

from dconrec_core.condensation.synthetic_users import SyntheticUsers, SyntheticUsersConfig
from dconrec_core.condensation.warm import Earlier, WarmSyntheticUsers
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.types import Budget, CondensedDataset, Split
from tests.contracts import condensed, planted_pool

ONE_STEP = SyntheticUsersConfig(steps=1, n_users=8, looks=1, starts=1)


def pairs_of(found: CondensedDataset) -> set[tuple[int, int]]:
    return set(zip(found.interactions.users.tolist(), found.interactions.items.tolist(), strict=True))


@pytest.fixture
def cold(planted_split: Split) -> CondensedDataset:
    config = SyntheticUsersConfig(steps=60, n_users=8, starts=1)
    pool, budget = planted_pool(planted_split), Budget.from_ratio(0.1, planted_split.train)
    return SyntheticUsers(config).condense(pool, planted_split.valid, budget, RunOptions(device="cpu"))


def warm(cold: CondensedDataset, split: Split, item_of: np.ndarray | None = None, seed: int = 1) -> CondensedDataset:
    items = np.arange(split.train.n_items, dtype=np.int32) if item_of is None else item_of.astype(np.int32)
    search = WarmSyntheticUsers(ONE_STEP, Earlier.of(cold, items, split.train.n_items))
    budget = Budget.from_ratio(0.1, split.train)
    return search.condense(planted_pool(split), split.valid, budget, RunOptions(seed, "cpu"))


def test_after_one_step_the_earlier_pairs_are_still_there_and_a_cold_step_has_others(
    cold: CondensedDataset, planted_split: Split
) -> None:
    budget = Budget.from_ratio(0.1, planted_split.train)
    anew = SyntheticUsers(ONE_STEP).condense(
        planted_pool(planted_split), planted_split.valid, budget, RunOptions(1, "cpu")
    )
    kept, by_chance = (len(pairs_of(found) & pairs_of(cold)) / len(cold) for found in (warm(cold, planted_split), anew))
    assert kept > 0.9
    assert by_chance < 0.6


def test_items_that_are_gone_are_left_out_and_the_others_go_by_their_new_ids(
    cold: CondensedDataset, planted_split: Split
) -> None:
    n_items = planted_split.train.n_items
    gone = int(cold.interactions.items[0])
    item_of = np.arange(n_items)
    item_of[gone] = -1
    earlier = Earlier.of(cold, item_of.astype(np.int32), n_items)
    assert gone not in earlier.histories.items
    assert len(earlier.histories) == int((cold.interactions.items != gone).sum())
    assert len(earlier.keep_prob) == len(earlier.histories)
    turned = Earlier.of(cold, np.arange(n_items, dtype=np.int32)[::-1], n_items)
    expected = sorted((user, n_items - 1 - item) for user, item in pairs_of(cold))
    assert list(zip(turned.histories.users, turned.histories.items, strict=True)) == expected


def test_what_cannot_be_started_from_says_so(cold: CondensedDataset, planted_split: Split) -> None:
    n_items = planted_split.train.n_items
    with pytest.raises(DataError, match="no item of the set to start from is in the catalogue"):
        Earlier.of(cold, np.full(n_items, -1, dtype=np.int32), n_items)
    real = condensed("random", planted_pool(planted_split), planted_split, 0.3)
    with pytest.raises(DataError, match="a set of 'random' has no made-up users to start from"):
        Earlier.of(real, np.arange(n_items, dtype=np.int32), n_items)


def test_the_reader_goes_on_from_what_was_learned(cold: CondensedDataset, planted_split: Split) -> None:
    learned, later = cold.notes["reader"], warm(cold, planted_split).notes["reader"]
    budget, pool = Budget.from_ratio(0.1, planted_split.train), planted_pool(planted_split)
    found = SyntheticUsers(ONE_STEP).condense(pool, planted_split.valid, budget, RunOptions(1, "cpu"))
    anew = found.notes["reader"]
    moved = {name: abs(learned[name] - anew[name]) for name in learned}
    assert max(moved.values()) > 0.01
    for name in learned:
        assert later[name] == pytest.approx(learned[name], rel=0.05, abs=0.01)
