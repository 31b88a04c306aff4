"""The stand-in finds out what helps from the loss of a closed-form reader, and leaves alone what it cannot move."""

import numpy as np
import pytest
import torch

from dconrec_core.condensation.base import best_candidates
from dconrec_core.condensation.stand_in import StandIn
from dconrec_core.rng import numpy_rng
from dconrec_core.types import CandidatePool, Split
from tests.contracts import noisy_pool, planted_pool


def stand_in(pool: CandidatePool, logits: np.ndarray, count: int, seed: int = 0, **settings: int) -> StandIn:
    settings = {"passes": 40, "batch_users": 60, **settings}
    return StandIn(pool, logits, count, settings["passes"], settings["batch_users"], 0.1, numpy_rng(seed, "stand-in"))


@pytest.mark.parametrize("batch_users", [60, 20])
def test_noise_gives_way_to_what_makes_the_reader_rank_well(planted_split: Split, batch_users: int) -> None:
    pool = noisy_pool(planted_split)  # the teacher says nothing: half of it is of the wrong taste
    start = np.random.default_rng(0).normal(size=len(pool)) * 0.1
    count = len(planted_split.train) // 2
    _, losses, looks = zip(*stand_in(pool, start, count, batch_users=batch_users).run(), strict=True)
    before, after = (pool.observed[best_candidates(logits, logits, count)].mean() for logits in (start, looks[-1]))
    assert before < 0.6
    assert after > before + 0.1
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_what_is_infinite_stays(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    start = np.where(pool.interactions.users < 5, np.inf, np.random.default_rng(0).normal(size=len(pool)))
    *_, (_, _, moved) = stand_in(pool, start, 300, passes=3).run()
    assert (np.isinf(moved) == np.isinf(start)).all()
    assert not np.isnan(moved).any()
    assert (moved != start)[pool.interactions.users >= 5].any()


def test_same_seed_same_logits(planted_split: Split) -> None:
    pool, ends = planted_pool(planted_split), []
    for seed in (0, 0, 1):
        *_, (_, _, moved) = stand_in(pool, np.zeros(len(pool)), 200, seed, passes=2).run()
        ends.append(moved.tobytes())
    assert ends[0] == ends[1] != ends[2]


def test_no_pass_proposes_nothing(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    assert list(stand_in(pool, np.zeros(len(pool)), 200, passes=0).run()) == []


def test_many_users_need_few_passes_that_go_as_far(planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = planted_pool(planted_split)
    n_users = int((planted_split.train.user_degree > 0).sum())
    monkeypatch.setattr("dconrec_core.condensation.stand_in.MOST_VISITS", 10 * n_users)
    few = stand_in(pool, np.zeros(len(pool)), 200, passes=40)
    assert (few.passes, few.learning_rate) == (10, pytest.approx(0.4))
    assert [number for number, _, _ in few.run()] == list(range(1, 11))


def test_batches_are_of_one_size_and_leave_nobody_out(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    assert planted_split.train.user_degree.min() > 0
    assert len(planted_split.train.user_degree) == 60
    assert stand_in(pool, np.zeros(len(pool)), 200, batch_users=50).size == 30


def test_what_is_hidden_is_no_cell_and_what_the_teacher_adds_is(planted_split: Split) -> None:
    """Nobody may be ranked by what is hidden, and nothing without a place in the table may be asked for."""
    pool = planted_pool(planted_split)
    made = stand_in(pool, np.zeros(len(pool)), 200, batch_users=30)
    made.place = made.place.copy()
    made.place[pool.interactions.items == 3] = -1
    users = np.sort(made.histories.users[:30])
    batch = made._batch(users, torch.tensor(0.0))
    entries = batch.entries.numpy()
    np.testing.assert_array_equal(users[batch.cells.rows], pool.interactions.users[entries])
    np.testing.assert_array_equal(batch.cells.columns, made.place[entries])
    shown = batch.lesson.shown.table.numpy()[batch.cells.columns, batch.cells.rows] > 0
    assert (shown | ~pool.observed[entries]).all()

    of_batch = np.isin(pool.interactions.users, users) & (made.place >= 0)
    pseudo = np.flatnonzero(of_batch & ~pool.observed)
    assert set(pseudo) <= set(entries)
    observed = np.flatnonzero(of_batch & pool.observed)
    assert 0 < len(set(observed) - set(entries)) < len(observed) // 2  # hidden, a random share of less than 0.3
