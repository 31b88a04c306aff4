"""LightGCN's propagation as a linear map, and its batches."""

import numpy as np
import pytest

from dconrec_core.models._graph import Graph
from dconrec_core.models.lightgcn import CompiledPropagation, LightGCNConfig
from dconrec_core.types import Interactions, Split


def dense_adjacency(train: Interactions) -> np.ndarray:
    """Readable version: D^-1/2 A D^-1/2 over users, then items."""
    n = train.n_users + train.n_items
    adjacency = np.zeros((n, n))
    adjacency[train.users, train.n_users + train.items] = 1
    adjacency += adjacency.T
    degree = adjacency.sum(axis=1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
    return np.asarray(scale[:, None] * adjacency * scale)


@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_propagation_is_the_mean_of_the_powers_of_the_adjacency(n_layers: int, planted_split: Split) -> None:
    train = planted_split.train.take(planted_split.train.users >= 5)  # five isolated users
    embeddings = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    powers = [np.linalg.matrix_power(dense_adjacency(train), power) for power in range(n_layers + 1)]
    got = Graph.of(train).average_layers(embeddings, n_layers)
    np.testing.assert_allclose(got, np.mean(powers, axis=0) @ embeddings, atol=1e-6)
    np.testing.assert_allclose(got[:5], embeddings[:5] / (n_layers + 1), atol=1e-6)


def test_propagation_is_its_own_transpose(planted_split: Split) -> None:
    """⟨Mx, y⟩ = ⟨x, My⟩: why the backward pass is the forward pass."""
    graph, rng = Graph.of(planted_split.train), np.random.default_rng(0)
    x, y = (rng.normal(size=(100, 4)).astype(np.float32) for _ in range(2))
    forward = (graph.average_layers(x, 3).astype(np.float64) * y).sum()
    assert forward == pytest.approx((x.astype(np.float64) * graph.average_layers(y, 3)).sum(), rel=1e-4)


@pytest.mark.parametrize(("batch_size", "steps"), [(480, 1), (479, 2), (100, 5), (10_000, 1)])
def test_epoch_visits_everything_once_in_batches(batch_size: int, steps: int, planted_split: Split) -> None:
    config = LightGCNConfig(embedding_size=4, batch_size=batch_size)
    trainer = CompiledPropagation(planted_split.train, config, np.random.default_rng(0))
    visited: list[tuple[int, int]] = []
    step = trainer.step

    def watched(users: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> float:
        visited.extend(zip(users.tolist(), (positives - 60).tolist(), strict=True))
        return step(users, positives, negatives)

    trainer.step = watched  # type: ignore[method-assign]
    loss = trainer.epoch()
    assert trainer.steps == steps
    train = planted_split.train
    assert sorted(visited) == list(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert loss == pytest.approx(np.log(2), abs=0.1)  # a mean, whatever the batch


def test_loss_falls_and_no_interaction_is_no_loss(planted_split: Split) -> None:
    config = LightGCNConfig(embedding_size=8, batch_size=128)
    trainer = CompiledPropagation(planted_split.train, config, np.random.default_rng(0))
    losses = [trainer.epoch() for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    empty = CompiledPropagation(Interactions.of([], [], 3, 4), config, np.random.default_rng(0))
    assert empty.epoch() == 0
    assert np.isfinite(empty.final()).all()
