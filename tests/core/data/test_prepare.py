"""Threshold, duplicates, k-core, dense ids: hand-worked, and against a slow oracle."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.data.prepare import in_core, prepare
from dconrec_core.errors import DataError


def ratings(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_hand_worked():
    frame = ratings(
        user_id=[30, 10, 30, 20, 10, 10],
        item_id=["b", "a", "a", "c", "b", "b"],
        rating=[5.0, 3.0, 2.9, 4.0, 4.0, 5.0],
        timestamp=[60, 10, 30, 20, 50, 40],
    )
    titles = pd.DataFrame({"item_id": ["b", "z", "a"], "title": ["Bee", "Zed", "Ay"]})
    prepared = prepare(frame, titles, threshold=3)
    assert prepared.users.to_dict("list") == {"user": [0, 1, 2], "user_id": [10, 20, 30]}
    assert prepared.items.astype("object").fillna("?").to_dict("list") == {
        "item": [0, 1, 2],
        "item_id": ["a", "b", "c"],
        "title": ["Ay", "Bee", "?"],
    }
    assert prepared.interactions.users.tolist() == [0, 0, 1, 2]
    assert prepared.interactions.items.tolist() == [0, 1, 2, 1]
    assert prepared.timestamps is not None
    assert prepared.timestamps.tolist() == [10, 50, 20, 60]  # of the repeated pair 10, b the later time
    assert prepared.dropped == {"rating below 3": 1, "repeated user and item": 1}
    assert prepared.users["user"].dtype == prepared.items["item"].dtype == np.int32


def test_without_times_the_first_of_a_repeated_pair_stays():
    prepared = prepare(ratings(user_id=[1, 1, 2], item_id=[1, 1, 1], rating=[5.0, 1.0, 3.0]))
    assert len(prepared.interactions) == 2
    assert prepared.timestamps is None


def test_numbers_sort_as_numbers_and_text_as_text():
    assert prepare(ratings(user_id=[10, 9], item_id=[1, 1])).users["user_id"].tolist() == [9, 10]
    assert prepare(ratings(user_id=["10", "9"], item_id=[1, 1])).users["user_id"].tolist() == ["10", "9"]


def test_row_order_does_not_matter():
    rng = np.random.default_rng(0)
    frame = ratings(user_id=rng.integers(9, size=60).tolist(), item_id=rng.integers(9, size=60).tolist())
    shuffled = frame.sample(frac=1, random_state=1)
    assert prepare(frame).interactions.fingerprint() == prepare(shuffled).interactions.fingerprint()


def test_parts_put_together_with_their_own_labels_are_as_good_as_one_table():
    part = ratings(user_id=[1, 1, 2], item_id=[1, 2, 1], rating=[5.0, 4.0, 3.0], timestamp=[1, 2, 3])
    parts = [part, part.assign(timestamp=[9, 9, 9])]
    prepared = prepare(pd.concat(parts))
    assert prepared.interactions.fingerprint() == prepare(part).interactions.fingerprint()
    assert prepared.timestamps is not None
    assert prepared.timestamps.tolist() == [9, 9, 9]
    assert prepared.dropped == {"repeated user and item": 3}


def test_k_core_takes_several_rounds():
    # Item z has one user; without it user 3 has one item; without user 3 item y still has two.
    frame = ratings(user_id=[1, 1, 2, 2, 3, 3], item_id=["x", "y", "x", "y", "y", "z"])
    prepared = prepare(frame, k_core=2)
    assert prepared.users["user_id"].tolist() == [1, 2]
    assert prepared.items["item_id"].tolist() == ["x", "y"]
    assert prepared.dropped["user or item with fewer than 2 interactions"] == 2


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True, max_size=40), st.integers(2, 4))
def test_k_core_is_the_largest_part_with_enough_rows(pairs: list[tuple[int, int]], k: int):
    expected = set(pairs)
    while True:  # one bad row at a time
        bad = [p for p in expected if any(sum(q[side] == p[side] for q in expected) < k for side in (0, 1))]
        if not bad:
            break
        expected.discard(bad[0])
    frame = pd.DataFrame(pairs, columns=["u", "i"])
    kept = in_core(frame["u"], frame["i"], k)
    assert {pair for pair, keep in zip(pairs, kept, strict=True) if keep} == expected


@pytest.mark.parametrize(
    ("frame", "settings", "message"),
    [
        (ratings(user_id=[1], items=[1]), {}, r"no column 'item_id'; did you mean 'items'\?"),
        (ratings(user_id=[1.0, None], item_id=[1, 2]), {}, "user_id is missing in 1 of 2 rows"),
        (ratings(user_id=[1], item_id=[1]), {"threshold": 3}, "prepare.threshold is 3, but the data has no ratings"),
        (
            ratings(user_id=[1], item_id=[1], rating=[2.0]),
            {"threshold": 3},
            r"no interaction is left of 1 rows \(1 by 'rating below 3', 0 by .*lower prepare.threshold",
        ),
        (ratings(user_id=[1, 2], item_id=[1, 2]), {"k_core": 2}, "2 by 'user or item with fewer than 2 interactions'"),
        (ratings(user_id=[], item_id=[]), {}, "no interaction is left of 0 rows"),
    ],
)
def test_what_cannot_be_prepared(frame: pd.DataFrame, settings: dict[str, float], message: str):
    with pytest.raises(DataError, match=message):
        prepare(frame, **settings)
