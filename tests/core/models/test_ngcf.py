"""NGCF: its propagation against a readable version, dropout, batches; its gradients are in ``test_engines``."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch

from dconrec_core.models.ngcf import CompiledPropagation, NGCFConfig, Propagation
from dconrec_core.types import Interactions, Split
from tests.core.models.test_lightgcn import dense_adjacency

CPU = torch.device("cpu")


def trainer_of(train: Interactions, seed: int = 0, **settings: float) -> CompiledPropagation:
    config = NGCFConfig.model_validate({"embedding_size": 6, **settings})
    return CompiledPropagation(train, config, np.random.default_rng(seed))


def readable_of(train: Interactions, seed: int = 0, **settings: float) -> Propagation:
    config = NGCFConfig.model_validate({"embedding_size": 6, **settings})
    return Propagation(train, config, np.random.default_rng(seed), CPU)


both = pytest.mark.parametrize("engine", [trainer_of, readable_of])


@both
@pytest.mark.parametrize("n_layers", [1, 3])
def test_layers_are_those_of_the_paper(engine: Callable[..., Propagation], n_layers: int, planted_split: Split) -> None:
    """Equation 7 with both biases in one, for a graph with five isolated users."""
    train = planted_split.train.take(planted_split.train.users >= 5)
    trainer, adjacency = engine(train, n_layers=n_layers, init_scale=1.0), dense_adjacency(train)
    weights = trainer.weights()
    weights["biases"] = np.random.default_rng(1).normal(size=(n_layers, 6)).astype(np.float32)
    trainer.restore(weights)
    current = weights["base"].astype(np.float64)
    expected = [current]
    for weight, bias in zip(weights["weights"], weights["biases"], strict=True):
        neighbours = adjacency @ current
        mixed = (neighbours + current) @ weight[:6] + (neighbours * current) @ weight[6:] + bias
        current = np.where(mixed > 0, mixed, 0.2 * mixed)
        expected.append(current / np.linalg.norm(current, axis=1, keepdims=True))
    users, items = trainer.factors()
    np.testing.assert_allclose(np.concatenate((users, items)), np.hstack(expected), atol=1e-5)


@both
def test_dropout_zeroes_its_share_of_a_training_step_and_nothing_of_the_scores(
    engine: Callable[..., Propagation], planted_split: Split
) -> None:
    trainer = engine(planted_split.train, embedding_size=32, dropout=0.4)
    with torch.no_grad():
        layer = trainer.final(trainer.kept()).numpy()[:, 32:64].copy()
        assert (layer == 0).mean() == pytest.approx(0.4, abs=0.03)
        assert not np.array_equal(trainer.final(trainer.kept())[:, 32:64], layer)
    users = np.arange(60, dtype=np.int32)
    np.testing.assert_array_equal(trainer.score(users), trainer.score(users))


@pytest.mark.parametrize(("batch_size", "steps"), [(480, 1), (479, 2), (100, 5), (10_000, 1), (None, 1)])
def test_epoch_visits_everything_once_in_batches(
    batch_size: int | None, steps: int, planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(planted_split.train, **({} if batch_size is None else {"batch_size": batch_size}))
    batches: list[list[tuple[int, int]]] = []

    def step(users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        assert ((negatives >= 60) & (negatives < 100)).all()
        batches.append(list(zip(users.tolist(), (positives - 60).tolist(), strict=True)))
        return torch.tensor(float(len(users)))

    monkeypatch.setattr(trainer, "step", step)
    assert trainer.epoch() == 1
    assert len(batches) == steps
    train = planted_split.train
    assert sorted(chain.from_iterable(batches)) == list(zip(train.users.tolist(), train.items.tolist(), strict=True))


def test_loss_falls_and_no_interaction_is_no_loss(planted_split: Split) -> None:
    trainer = trainer_of(planted_split.train, batch_size=128, learning_rate=0.02, start="gaussian")
    losses = [trainer.epoch() for _ in range(30)]
    assert losses[-1] < losses[0] / 2
    empty = trainer_of(Interactions.of([], [], 3, 4))
    assert empty.epoch() == 0
    assert np.isfinite(empty.factors()[0]).all()
