"""Negatives avoid training positives, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.sampling import sample_negatives
from dconrec_core.types import Interactions, Split


@given(st.integers(0, 10_000))
def test_never_a_positive_wherever_there_is_another_item(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(6 * 5, size=rng.integers(0, 25), replace=False)
    train = Interactions.of(cells // 5, cells % 5, 6, 5)
    users = rng.integers(0, 6, size=300).astype(np.int32)
    negatives = sample_negatives(train, users, rng)
    assert ((negatives >= 0) & (negatives < 5)).all()
    seen = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    hits = [user for user, item in zip(users.tolist(), negatives.tolist(), strict=True) if (user, item) in seen]
    assert all(train.user_degree[user] == 5 for user in hits)


def test_all_else_is_drawn_alike_held_out_items_included(planted_split: Split) -> None:
    train = planted_split.train
    users = np.zeros(60_000, dtype=np.int32)
    counts = np.bincount(sample_negatives(train, users, np.random.default_rng(0)), minlength=train.n_items)
    mine = train.items[train.users == 0]
    assert (counts[mine] == 0).all()
    others = np.setdiff1d(np.arange(train.n_items), mine)
    held_out = planted_split.test.items[planted_split.test.users == 0]
    assert np.isin(held_out, others).all()
    expected = 60_000 / len(others)
    assert (abs(counts[others] - expected) < 6 * expected**0.5).all()


def test_generator_decides() -> None:
    train, users = Interactions.of([0], [0], 1, 50), np.zeros(20, dtype=np.int32)
    first, again, other = (sample_negatives(train, users, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other
