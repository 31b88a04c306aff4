"""The torch versions that run on CUDA, exercised on the CPU; the graph; EASE against a dense inverse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import perturb
from dconrec_core.models._factors import Triplets
from dconrec_core.models._graph import Graph
from dconrec_core.models.bprmf import BPRMFConfig, Factors, TorchFactors
from dconrec_core.models.ease import ease_weights, invert_on_device, lower_gram
from dconrec_core.models.lightgcn import CompiledPropagation, LightGCNConfig, TorchPropagation
from dconrec_core.models.ngcf import CompiledPropagation as CompiledNeural
from dconrec_core.models.ngcf import NGCFConfig
from dconrec_core.models.ngcf import Propagation as NeuralPropagation
from dconrec_core.models.xsimgcl import CompiledContrast, TorchContrast, XSimGCLConfig
from dconrec_core.training import Trainer
from dconrec_core.types import Interactions, Split

CPU = torch.device("cpu")


def test_bprmf_in_torch_learns_in_batches(planted_split: Split) -> None:
    config = BPRMFConfig(embedding_size=16, batch_size=64, weight_decay=0.01)
    trainer = TorchFactors(planted_split.train, config, np.random.default_rng(0), CPU)
    losses = [trainer.epoch() for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    assert RankingTask.test(planted_split).measure(trainer.score)["recall@20"] > 0.9


def test_bprmf_in_torch_restores_what_it_saved(planted_split: Split) -> None:
    trainer = TorchFactors(planted_split.train, BPRMFConfig(), np.random.default_rng(0), CPU)
    users = np.arange(60, dtype=np.int32)
    saved, before = trainer.weights(), trainer.score(users)
    trainer.epoch()
    assert not np.allclose(trainer.score(users), before)
    trainer.restore(saved)
    np.testing.assert_array_equal(trainer.score(users), before)


def test_lightgcn_in_torch_learns_and_restores(planted_split: Split) -> None:
    config = LightGCNConfig(embedding_size=16, batch_size=256)
    trainer = TorchPropagation(planted_split.train, config, np.random.default_rng(0), CPU)
    saved, users = trainer.weights(), np.arange(60, dtype=np.int32)
    before = trainer.score(users)
    losses = [trainer.epoch() for _ in range(30)]
    assert losses[-1] < losses[0] / 2
    assert RankingTask.test(planted_split).measure(trainer.score)["recall@20"] > 0.9
    trainer.restore(saved)
    np.testing.assert_array_equal(trainer.score(users), before)


@pytest.mark.parametrize(
    ("trainer_class", "config", "first_item"), [(TorchFactors, BPRMFConfig, 0), (TorchPropagation, LightGCNConfig, 60)]
)
def test_torch_epoch_visits_everything_once_in_a_new_order_with_unseen_negatives(
    trainer_class: Any, config: Any, first_item: int, planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = planted_split.train
    visited: list[list[tuple[int, int, int]]] = []

    def step(self: object, *batch: torch.Tensor) -> torch.Tensor:
        assert {len(part) for part in batch} <= {100, 80}
        visited[-1].extend(zip(*(part.tolist() for part in batch), strict=True))
        return torch.tensor(float(len(batch[0])))

    monkeypatch.setattr(trainer_class, "step", step)
    trainer = trainer_class(train, config(embedding_size=4, batch_size=100), np.random.default_rng(0), CPU)
    for _ in range(2):
        visited.append([])
        assert trainer.epoch() == 1  # the mean of a loss of one each
    pairs = list(zip(train.users.tolist(), train.items.tolist(), strict=True))
    for epoch in visited:
        assert sorted((user, item - first_item) for user, item, _ in epoch) == pairs
        assert not {(user, negative - first_item) for user, _, negative in epoch} & set(pairs)
        assert all(0 <= negative - first_item < 40 for _, _, negative in epoch)
    orders = [[triplet[:2] for triplet in epoch] for epoch in visited]
    assert orders[0] != orders[1] != sorted(orders[1])


def test_both_lightgcns_propagate_alike(planted_split: Split) -> None:
    config = LightGCNConfig(embedding_size=4)
    compiled = CompiledPropagation(planted_split.train, config, np.random.default_rng(0))
    readable = TorchPropagation(planted_split.train, config, np.random.default_rng(0), CPU)
    for ours, theirs in zip(compiled.factors(), readable.factors(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def triplets_of(train: Interactions, size: int = 100) -> tuple[np.ndarray, ...]:
    users, positives, negatives = Triplets(train, np.random.default_rng(1)).epoch()[:, :size]
    return users, positives + np.int32(train.n_users), negatives + np.int32(train.n_users)


@pytest.mark.parametrize("contrast_layer", [1, 2, 3])
def test_xsimgcl_gradient_is_that_of_autograd(contrast_layer: int, planted_split: Split) -> None:
    """Without noise, which is another in the two engines; it is constant, so it has no part in the derivative."""
    config = XSimGCLConfig(embedding_size=8, n_layers=3, noise=0, contrast_layer=contrast_layer, contrast_size=60)
    compiled = CompiledContrast(planted_split.train, config, np.random.default_rng(0))
    readable = TorchContrast(planted_split.train, config, np.random.default_rng(0), CPU)
    triplets = triplets_of(planted_split.train)
    loss, penalty = readable.losses(*(torch.from_numpy(ids).long() for ids in triplets))
    ((loss + penalty) / 100).backward()
    ours, pulled = compiled.gradients(*triplets)
    assert ours == pytest.approx(loss.item(), rel=1e-5)
    assert readable.base.grad is not None
    np.testing.assert_allclose(pulled + compiled.penalty, readable.base.grad.numpy(), atol=1e-6)


def test_noise_of_xsimgcl_has_its_length_and_keeps_every_sign(planted_split: Split) -> None:
    layer = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    moved, total = layer.copy(), layer.copy()
    perturb(moved, total, np.float32(0.3), np.array([1], dtype=np.uint64))
    np.testing.assert_allclose(np.linalg.norm(moved - layer, axis=1), 0.3, rtol=1e-4)
    assert (np.sign(moved) == np.sign(layer)).all()
    assert (np.abs(moved) >= np.abs(layer)).all()
    np.testing.assert_array_equal(moved, total)
    directions = (moved - layer) / 0.3
    assert len(np.unique(directions.round(5), axis=0)) == 50


@pytest.mark.parametrize("dropout", [0, 0.3])
@pytest.mark.parametrize("isolated", [0, 5])
@pytest.mark.parametrize("size", [2, 480])
def test_ngcf_gradients_in_closed_form_are_those_of_autograd(
    dropout: float, isolated: int, size: int, planted_split: Split
) -> None:
    """Of a batch that needs a part of the graph, and of one that needs all of it."""
    config = NGCFConfig(embedding_size=8, dropout=dropout, weight_decay=0.1)
    train = planted_split.train.take(planted_split.train.users >= isolated)
    compiled = CompiledNeural(train, config, np.random.default_rng(0))
    readable = NeuralPropagation(train, config, np.random.default_rng(0), CPU)
    weights = compiled.weights()
    weights["biases"] = np.random.default_rng(1).normal(size=weights["biases"].shape).astype(np.float32)
    kept = compiled.kept()
    found = []
    for trainer in (compiled, readable):
        trainer.restore(weights)
        trainer.kept = lambda: kept
        loss = trainer.backward(*(torch.from_numpy(ids[:size]).long() for ids in triplets_of(train)))
        found.append((float(loss), {name: value.grad.numpy() for name, value in trainer.parameters.items()}))
    if size == 2:
        assert np.count_nonzero(np.abs(found[0][1]["base"]).sum(axis=1)) < len(weights["base"])
    (ours, by_hand), (theirs, by_autograd) = found
    assert ours == pytest.approx(theirs, rel=1e-5)
    for name, gradient in by_hand.items():
        np.testing.assert_allclose(gradient, by_autograd[name], atol=1e-6)


def test_graph_is_the_normalised_adjacency() -> None:
    # user 0 has both items, user 1 has item 0, user 2 is alone
    graph = Graph.of(Interactions.of([0, 0, 1], [0, 1, 0], 3, 2))
    dense = graph.torch(CPU).to_dense().numpy()
    expected = np.zeros((5, 5))
    for user, item, weight in ((0, 0, 1 / 2), (0, 1, 2**-0.5), (1, 0, 2**-0.5)):
        expected[user, 3 + item] = expected[3 + item, user] = weight
    np.testing.assert_allclose(dense, expected, atol=1e-7)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 50.0])
def test_ease_is_the_dense_inverse_with_a_zero_diagonal(penalty: float) -> None:
    rows = np.random.default_rng(0).random((90, 70)) < 0.4
    train = Interactions.of(*np.nonzero(rows), 90, 70)
    inverse = np.linalg.inv(rows.astype(np.float64).T @ rows + penalty * np.eye(70))
    expected = np.eye(70) - inverse / np.diag(inverse)
    weights = ease_weights(lower_gram(train), penalty, CPU)
    np.testing.assert_allclose(weights, expected, atol=1e-4)
    np.testing.assert_array_equal(np.diag(weights), 0)


def test_ease_on_a_device_is_ease(planted_split: Split) -> None:
    gram = lower_gram(planted_split.train)
    ours = ease_weights(gram.copy(), 10.0, CPU)
    whole = gram + 10 * np.eye(len(gram), dtype=np.float32)
    theirs = invert_on_device(torch.from_numpy(whole))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_ease_adds_a_penalty_that_single_precision_would_lose() -> None:
    """Two items that the same 2²⁴ users have, to which 1/4 in single precision adds nothing."""
    gram = np.array([[2**24, 0], [2**24, 2**24]], dtype=np.float32)
    np.testing.assert_allclose(ease_weights(gram, 0.25, CPU), [[0, 1], [1, 0]], atol=1e-6)


def test_ease_on_a_device_says_that_a_penalty_is_too_small() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        invert_on_device(torch.ones(2, 2, dtype=torch.float64))


def test_gram_counts_the_users_that_two_items_share() -> None:
    gram = lower_gram(Interactions.of([0, 0, 1, 1, 1, 3], [0, 2, 0, 1, 2, 1], 4, 4))
    assert gram.tolist() == [[2, 0, 0, 0], [1, 2, 0, 0], [2, 1, 2, 0], [0, 0, 0, 0]]


def everything(trainer: Trainer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.state().items()}


@pytest.mark.parametrize(
    "start",
    [
        lambda train: Factors(train, BPRMFConfig(), np.random.default_rng(0)),
        lambda train: TorchFactors(train, BPRMFConfig(batch_size=64), np.random.default_rng(0), CPU),
        lambda train: CompiledPropagation(train, LightGCNConfig(batch_size=64), np.random.default_rng(0)),
        lambda train: TorchPropagation(train, LightGCNConfig(batch_size=64), np.random.default_rng(0), CPU),
        lambda train: CompiledContrast(train, XSimGCLConfig(batch_size=64), np.random.default_rng(0)),
        lambda train: TorchContrast(train, XSimGCLConfig(batch_size=64), np.random.default_rng(0), CPU),
        lambda train: CompiledNeural(train, NGCFConfig(batch_size=64), np.random.default_rng(0)),
        lambda train: NeuralPropagation(train, NGCFConfig(batch_size=64), np.random.default_rng(0), CPU),
    ],
)
def test_training_goes_on_from_its_state_to_the_same_bytes(
    start: Callable[[Interactions], Trainer], planted_split: Split
) -> None:
    whole, first, second = (start(planted_split.train) for _ in range(3))
    for _ in range(5):
        whole.epoch()
    for _ in range(2):
        first.epoch()
    second.resume({name: array.copy() for name, array in first.state().items()})
    for _ in range(3):
        second.epoch()
    assert everything(whole) == everything(second)
