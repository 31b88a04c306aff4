import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.types import Interactions
from tasks import report_users
from tasks.report_users import N_SHOWN, N_TITLES, nearest_users, user_base

TRAIN = Interactions.of([0, 0, 1, 1, 2, 4], [0, 1, 0, 2, 5, 3], 5, 6)  # user 3 has nothing
TABLE = pd.DataFrame(
    {
        "user": np.array([0, 0, 1, 1], dtype=np.int32),
        "item": np.array([0, 1, 0, 5], dtype=np.int32),
        "user_id": ["synthetic-0", "synthetic-0", "synthetic-1", "synthetic-1"],
        "keep_prob": np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32),
    }
)
ITEMS = pd.DataFrame({"item": range(6), "item_id": range(10, 16), "title": [*"abcde", None]})


def test_hand_worked() -> None:
    # User 0 is synthetic-0; user 1 shares item 0 with both, at the same cosine; user 2 has item 5; user 4 is apart.
    base = user_base(TRAIN, TABLE, ITEMS)
    assert (base.n_users, base.n_real, base.n_apart) == (2, 4, 1)
    first, second = base.shown
    assert (first.user_id, first.n_interactions, first.n_nearest, first.share) == ("synthetic-0", 2, 2, 0.5)
    assert (second.user_id, second.n_interactions, second.n_nearest, second.share) == ("synthetic-1", 2, 1, 0.25)
    assert first.titles == ["a", "b"]
    assert second.titles == ["item 15", "a"]  # the surest first, then the most popular


def test_a_few_users_and_a_few_titles_are_enough() -> None:
    users, items = np.divmod(np.arange(10 * 12), 12)
    table = pd.DataFrame({"user": users, "item": items, "user_id": "x", "keep_prob": 1.0})
    train = Interactions.of(users, items, 10, 12)
    base = user_base(train, table, pd.DataFrame({"item": range(12), "item_id": range(12)}))
    assert [len(one.titles) for one in base.shown] == [N_TITLES] * N_SHOWN
    assert [one.n_nearest for one in base.shown] == [10, 0, 0, 0, 0, 0]


PAIRS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=25)


@given(PAIRS, PAIRS, st.integers(1, 6))
def test_nearest_is_that_of_plain_cosines_whatever_the_batch(
    real: set[tuple[int, int]], own: set[tuple[int, int]], batch: int
) -> None:
    train, histories = (Interactions.of(*zip(*sorted(pairs), strict=True), 5, 7) for pairs in (real, own))
    dense, others = train.csr().toarray(), histories.csr().toarray()
    lengths = np.sqrt(np.maximum(others.sum(axis=1), 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_users, "BATCH", batch)
        found = nearest_users(train, histories)
    for user, nearest in enumerate(found):
        cosines = [float(dense[user] @ other) / length for other, length in zip(others, lengths, strict=True)]
        assert nearest == (-1 if max(cosines) == 0 else cosines.index(max(cosines)))
