"""One BPRMF in training: where it starts, what a step does to it, and what it leaves alone."""

import numpy as np
import pytest

from dconrec_core.models._factors import spectral_rows
from dconrec_core.models.bprmf import BPRMFConfig, Factors
from dconrec_core.types import Interactions, Split

CONFIG = BPRMFConfig(embedding_size=8)


def factors(train: Interactions, seed: int = 0) -> Factors:
    return Factors(train, CONFIG, np.random.default_rng(seed))


def test_loss_falls_from_that_of_a_coin_flip(planted_split: Split) -> None:
    trainer = factors(planted_split.train)
    losses = [trainer.epoch() for _ in range(40)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.1)
    assert losses[-1] < 0.45


def test_users_start_at_one_length_in_the_directions_of_their_singular_vectors(planted_split: Split) -> None:
    train = planted_split.train.take(planted_split.train.users > 0)
    users = spectral_rows(train, 3, np.random.default_rng(0), 0.3)
    left = np.linalg.svd(train.csr().toarray())[0][:, :3]
    expected = left[1:] / np.linalg.norm(left[1:], axis=1, keepdims=True) * 0.3 * np.sqrt(3)
    np.testing.assert_allclose(users[1:] @ users[1:].T, expected @ expected.T, atol=0.05)  # up to a rotation
    assert not users[0].any()


def test_few_users_start_at_right_angles() -> None:
    train = Interactions.of([0, 0, 1, 2], [0, 1, 1, 2], 3, 5)
    users = spectral_rows(train, 8, np.random.default_rng(0), 0.3)
    np.testing.assert_allclose(users @ users.T, 0.09 * 8 * np.eye(3), atol=1e-6)


def test_a_started_accumulator_shortens_the_first_step(planted_split: Split) -> None:
    moved = []
    for first in (0.0, 1.0, 4.0):
        config = BPRMFConfig(embedding_size=8, initial_accumulator=first)
        trainer = Factors(planted_split.train, config, np.random.default_rng(0))
        before = trainer.weights()["items"]
        trainer.epoch()
        moved.append(float(np.linalg.norm(trainer.items - before)))
    assert moved[0] > moved[1] > moved[2]


def test_every_epoch_has_an_order_of_its_own(planted_split: Split) -> None:
    trainer = factors(planted_split.train)
    orders = [trainer.triplets.order().tolist() for _ in range(3)]
    assert all(sorted(order) == list(range(480)) for order in orders)
    assert len({tuple(order) for order in [*orders, list(range(480))]}) == 4


def test_users_without_interactions_are_not_moved(planted_split: Split) -> None:
    train = planted_split.train.take(planted_split.train.users >= 10)
    trainer = factors(train)
    users = trainer.weights()["users"]
    trainer.epoch()
    np.testing.assert_array_equal(trainer.users[:10], users[:10])
    assert (trainer.users[10:] != users[10:]).any(axis=1).all()


def test_penalty_keeps_the_embeddings_small(planted_split: Split) -> None:
    norms = []
    for decay in (0.0, 0.05, 0.5):
        config = BPRMFConfig(embedding_size=8, weight_decay=decay)
        trainer = Factors(planted_split.train, config, np.random.default_rng(0))
        for _ in range(30):
            trainer.epoch()
        norms.append(float(np.linalg.norm(trainer.users)))
    assert norms[0] > norms[1] > norms[2]


def test_epoch_over_no_interaction_does_nothing() -> None:
    """A drawn mask may be empty."""
    trainer = factors(Interactions.of([], [], 3, 4))
    users, items = trainer.weights().values()
    assert trainer.epoch() == 0
    np.testing.assert_array_equal(trainer.users, users)
    np.testing.assert_array_equal(trainer.items, items)


def test_weights_are_copies(planted_split: Split) -> None:
    trainer = factors(planted_split.train)
    weights = trainer.weights()
    kept = weights["users"].copy()
    trainer.epoch()
    np.testing.assert_array_equal(weights["users"], kept)
    trainer.restore(weights)
    everyone = np.arange(60, dtype=np.int32)
    np.testing.assert_allclose(trainer.score(everyone), weights["users"] @ weights["items"].T, rtol=1e-6, atol=1e-8)
