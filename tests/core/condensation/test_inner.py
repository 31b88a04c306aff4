"""The inner training: what is read off a mask's short training, and what it is compared under."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
import torch

from dconrec_core.condensation.inner import InnerTraining
from dconrec_core.kernels import shuffle
from dconrec_core.models._factors import random_state
from dconrec_core.models.bprmf import BPRMFConfig, Factors, TorchFactors
from dconrec_core.types import CandidatePool, Interactions, Split
from tests.contracts import noisy_pool, planted_pool


def inner_training(split: Split, warm_epochs: int = 5, inner_epochs: int = 2) -> InnerTraining:
    return InnerTraining(planted_pool(split), split.valid, np.random.default_rng(0), warm_epochs, inner_epochs, 4)


def test_masks_are_compared_under_common_random_numbers(planted_split: Split) -> None:
    inner = inner_training(planted_split)
    observed = inner.pool.observed
    inner.warm_start(observed)
    same = inner.masked_losses(np.stack((observed, observed)))
    np.testing.assert_array_equal(same[0], same[1])


def test_masked_training_takes_its_epochs_from_the_warm_start(planted_split: Split) -> None:
    """Against the same trainings written out: one order and one negative per interaction, whatever the mask."""
    inner = inner_training(planted_split, inner_epochs=3)
    pool = inner.pool
    inner.warm_start(pool.observed)
    start = inner.start
    before = start.weights()
    random = random_state(deepcopy(inner.rng))
    got = inner.masked_losses(np.stack((pool.observed, ~pool.observed)))
    orders = []
    for _ in range(3):
        order = np.arange(len(pool), dtype=np.int32)
        shuffle(random, order)
        orders.append((order, int(random[0])))
    for mask, losses in zip((pool.observed, ~pool.observed), got, strict=True):
        readable = TorchFactors(pool.train, inner.config, np.random.default_rng(9), torch.device("cpu"))
        readable.restore({name: table.copy() for name, table in before.items()})
        held = set(zip(pool.interactions.users[mask].tolist(), pool.interactions.items[mask].tolist(), strict=True))
        for order, seed in orders:
            for interaction in order[mask[order]].tolist():
                user, item = int(pool.interactions.users[interaction]), int(pool.interactions.items[interaction])
                stream = splitmix((seed + interaction * 0xD1342543DE82EF95) % 2**64)
                negative = next(drawn for bits in stream if (user, drawn := (bits >> 32) * 40 >> 32) not in held)
                readable.step(*(torch.tensor([row]) for row in (user, item, negative)))
        scores = readable.score(np.arange(60, dtype=np.int32)).astype(np.float64)
        for user in range(60):
            mine = planted_split.valid.users == user
            margins = scores[user, planted_split.valid.items[mine]][:, None] - scores[user, inner.negatives[mine]]
            assert losses[user] == pytest.approx(np.log1p(np.exp(-margins)).mean() if mine.any() else 0, rel=1e-3)
    assert inner.start is start
    assert all((start.weights()[name] == before[name]).all() for name in before)


def splitmix(state: int) -> Iterator[int]:
    """The 64-bit stream of the kernels, in Python's integers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        yield z ^ z >> 31


def test_losses_do_not_depend_on_the_number_of_threads(planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(0).random((4, len(planted_pool(planted_split)))) < 0.5
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("dconrec_core.condensation.inner.cpu_threads", lambda threads=threads: threads)
        inner = inner_training(planted_split)
        inner.warm_start(inner.pool.observed)
        found.append(inner.masked_losses(masks))
    np.testing.assert_array_equal(*found)


def test_without_a_warm_start_every_outer_epoch_has_a_fresh_model(planted_split: Split) -> None:
    fresh, warm = inner_training(planted_split, warm_epochs=0), inner_training(planted_split)
    for inner, expected in ((fresh, 3), (warm, 1)):
        inner.warm_start(inner.pool.observed)
        starts = []
        for _ in range(3):
            inner.masked_losses(inner.pool.observed[None])
            starts.append(inner.start.users.tobytes())
        assert len(set(starts)) == expected


def test_overall_loss_is_the_mean_over_validation_interactions_and_not_over_users() -> None:
    catalogue = (3, 4)
    train = Interactions.of([0, 1, 2], [0, 0, 0], *catalogue)
    pool = CandidatePool(train, np.ones(3, dtype=bool), np.zeros(3, dtype=np.float32))
    valid = Interactions.of([0, 0, 0, 1], [1, 2, 3, 1], *catalogue)
    inner = InnerTraining(pool, valid, np.random.default_rng(0), 1, 1, 2)
    assert inner.overall(np.array([[1.0, 5.0, 0.0], [2.0, 2.0, 0.0]])).tolist() == [(3 * 1 + 5) / 4, 2]


def test_looks_at_valid_rank_what_users_have_not_seen_pseudo_items_included(planted_split: Split) -> None:
    inner = inner_training(planted_split)
    assert inner.task.seen.fingerprint() == planted_split.train.fingerprint()
    assert inner.task.target is planted_split.valid


def test_loss_falls_with_more_of_the_truth(planted_split: Split) -> None:
    pool = noisy_pool(planted_split)
    inner = InnerTraining(pool, planted_split.valid, np.random.default_rng(0), 30, 3, 8)
    inner.warm_start(np.ones(len(pool), dtype=bool))
    truth, noise = inner.overall(inner.masked_losses(np.stack((pool.observed, ~pool.observed))))
    assert truth < noise


def test_negatives_of_the_loss_avoid_training_positives_and_nothing_else(planted_split: Split) -> None:
    """The reference avoided test positives too, which tells what they are."""
    pool = planted_pool(planted_split)
    inner = InnerTraining(pool, planted_split.valid, np.random.default_rng(0), 0, 1, 200)
    users = np.repeat(planted_split.valid.users, 200)
    drawn = set(zip(users.tolist(), inner.negatives.ravel().tolist(), strict=True))
    train = set(zip(planted_split.train.users.tolist(), planted_split.train.items.tolist(), strict=True))
    test = set(zip(planted_split.test.users.tolist(), planted_split.test.items.tolist(), strict=True))
    asked = set(users.tolist())
    assert not drawn & train
    assert {pair for pair in test if pair[0] in asked} <= drawn


def test_a_judge_looks_with_its_own_settings_and_masks_go_on_from_the_usual_ones(planted_split: Split) -> None:
    pool, own = planted_pool(planted_split), BPRMFConfig(embedding_size=3, learning_rate=0.02)
    usual = inner_training(planted_split)
    judged = InnerTraining(pool, planted_split.valid, np.random.default_rng(0), 5, 2, 4, own)
    usual.warm_start(pool.observed)
    quality = judged.warm_start(pool.observed)
    np.testing.assert_array_equal(judged.start.weights()["items"], usual.start.weights()["items"])

    random = np.random.default_rng(0)
    InnerTraining(pool, planted_split.valid, random, 5, 2, 4).warm_start(pool.observed)  # what comes before the look
    model = Factors(pool.interactions.take(pool.observed), own, random)
    for _ in range(5):
        model.epoch()
    assert quality.ndcg == usual.task.measure(model.score, (10,))["ndcg@10"]
