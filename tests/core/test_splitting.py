"""Per-user splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.splitting import given_split, hold_out_users, part_sizes, random_split, temporal_split
from dconrec_core.types import Interactions


def histories(*lengths: int) -> Interactions:
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = np.concatenate([np.arange(length) for length in lengths])
    return Interactions.of(users, items, len(lengths), max(lengths))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 100))
def test_parts_are_a_partition_with_the_right_sizes(lengths: list[int], seed: int) -> None:
    whole = histories(*lengths, 1)
    split = random_split(whole, 0.1, 0.1, seed)
    together = [*split.train.items, *split.valid.items, *split.test.items]
    assert len(together) == len(whole)
    n_valid, n_test = part_sizes(whole.user_degree, 0.1, 0.1)
    assert split.valid.user_degree.tolist() == n_valid.tolist()
    assert split.test.user_degree.tolist() == n_test.tolist()
    assert (split.train.user_degree[whole.user_degree > 0] >= 1).all()


@given(st.integers(1, 60), st.floats(0.01, 0.98), st.floats(0, 1))
def test_whatever_the_shares_everyone_keeps_something_to_train_on(degree: int, valid: float, share: float) -> None:
    sizes = part_sizes(np.array([degree]), valid, share * (0.99 - valid))
    assert sum(int(part[0]) for part in sizes) < degree


@pytest.mark.parametrize(
    ("degree", "valid", "test"),
    [(0, 0, 0), (1, 0, 0), (2, 0, 1), (3, 1, 1), (9, 1, 1), (20, 2, 2), (29, 2, 2), (30, 3, 3)],
)
def test_sizes_hand_worked(degree: int, valid: int, test: int) -> None:
    sizes = part_sizes(np.array([degree]), 0.1, 0.1)
    assert [int(part[0]) for part in sizes] == [valid, test]


def test_seed_decides_the_split() -> None:
    whole = histories(30, 30, 30)
    first, again, other = (random_split(whole, 0.1, 0.1, seed) for seed in (1, 1, 2))
    assert first.test.fingerprint() == again.test.fingerprint() != other.test.fingerprint()


def test_every_interaction_is_as_likely_to_be_held_out() -> None:
    whole = histories(10)
    held = np.zeros(10)
    for seed in range(500):
        held[random_split(whole, 0.1, 0.1, seed).test.items] += 1
    assert held.sum() == 500
    assert held.min() > 25
    assert held.max() < 85


def test_latest_are_the_test_and_the_ones_before_them_valid() -> None:
    whole = histories(10)
    times = np.array([5, 1, 9, 2, 8, 3, 7, 4, 6, 0])
    split = temporal_split(whole, times, 0.2, 0.2)
    assert split.test.items.tolist() == [2, 4]
    assert split.valid.items.tolist() == [6, 8]


@given(share=st.floats(0.01, 0.98), part=st.floats(0.01, 0.99), n=st.integers(1, 60))
def test_what_was_trained_on_is_never_asked_about_once_a_user_has_more(share: float, part: float, n: int) -> None:
    valid, test = share * part, share * (1 - part)
    before, after = (temporal_split(histories(k), np.arange(k), valid, test) for k in (n, n + 1))
    assert len(before.train) <= len(after.train)
    assert len(after.valid) >= (n + 1 >= 3)
    assert len(after.train) + len(after.valid) + len(after.test) == n + 1


def test_times_must_be_aligned_and_something_left_to_train_on() -> None:
    with pytest.raises(DataError, match="3 timestamps for 10 interactions"):
        temporal_split(histories(10), np.arange(3), 0.1, 0.1)
    with pytest.raises(ConfigError, match=r"split.valid 0.5 \+ split.test 0.5 leave nothing"):
        random_split(histories(10), 0.5, 0.5, 0)


def test_a_given_split_stays_and_valid_is_drawn_from_train() -> None:
    whole = histories(20, 10, 2)
    parts = np.where(whole.items < 4, "test", "train")
    parts[-2:] = ["train", "test"]
    first, other = (given_split(whole, parts, 0.1, seed) for seed in (0, 1))
    assert first.test.items.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 1]
    assert first.test.fingerprint() == other.test.fingerprint()
    assert first.valid.user_degree.tolist() == [1, 1, 0]  # of 16, 6 and 1
    assert first.train.user_degree.tolist() == [15, 5, 1]
    assert first.valid.fingerprint() != other.valid.fingerprint()


def test_a_given_valid_part_stays_too() -> None:
    whole = histories(3, 3)
    split = given_split(whole, np.array(["train", "valid", "test"] * 2), 0.5, 0)
    assert [part.items.tolist() for part in (split.train, split.valid, split.test)] == [[0, 0], [1, 1], [2, 2]]


def test_parts_that_do_not_fit_are_named() -> None:
    whole = histories(2)
    with pytest.raises(DataError, match="1 parts for 2 interactions"):
        given_split(whole, np.array(["train"]), 0.1, 0)
    with pytest.raises(DataError, match="'dev' is no part of a split"):
        given_split(whole, np.array(["train", "dev"]), 0.1, 0)


def test_a_share_of_nothing_gives_nothing() -> None:
    assert [int(part[0]) for part in part_sizes(np.array([10]), 0.1, 0)] == [1, 0]
    assert [part.tolist() for part in part_sizes(np.array([0, 1, 2, 3, 10]), 0, 0.9)] == [[0] * 5, [0, 0, 1, 2, 9]]
    split = temporal_split(histories(10), np.arange(10), 0, 0.9)
    assert [len(part) for part in (split.train, split.valid, split.test)] == [1, 0, 9]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers(0, 100))
def test_held_out_users_are_held_out_whole(lengths: list[int], share: float, seed: int) -> None:
    whole = histories(*lengths, 1, 1)
    kept, held_out = hold_out_users(whole, share, seed)
    assert kept.same_catalogue(whole)
    assert held_out.same_catalogue(whole)
    assert (np.minimum(kept.user_degree, held_out.user_degree) == 0).all()
    assert (kept.user_degree + held_out.user_degree).tolist() == whole.user_degree.tolist()
    n_users = int((whole.user_degree > 0).sum())
    assert int((held_out.user_degree > 0).sum()) == max(1, int(share * n_users + 1e-9)) < n_users


def test_seed_decides_who_is_held_out_and_everyone_may_be() -> None:
    whole = histories(*[2] * 20)
    chosen = [hold_out_users(whole, 0.29 + 0.01, seed)[1] for seed in range(40)]
    assert chosen[0].fingerprint() == hold_out_users(whole, 0.3, 0)[1].fingerprint() != chosen[1].fingerprint()
    assert {len(held_out) for held_out in chosen} == {12}
    assert set(np.concatenate([held_out.users for held_out in chosen]).tolist()) == set(range(20))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_share_of_users_that_leaves_nobody_on_one_side_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"the share of users to hold out is {share}; it must be above 0 and below 1"):
        hold_out_users(histories(3, 3), share, 0)


def test_single_user_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="1 users have an interaction; to hold some out and keep some, two are needed"):
        hold_out_users(histories(3, 0), 0.5, 0)
