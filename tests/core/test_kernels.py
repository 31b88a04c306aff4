"""Compiled loops against their readable versions."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dconrec_core import kernels
from dconrec_core.models._algebra import sums_of_rows
from dconrec_core.models._factors import Triplets
from dconrec_core.models._graph import Graph
from dconrec_core.models.bprmf import BPRMFConfig, Factors, TorchFactors
from dconrec_core.models.lightgcn import CompiledPropagation, LightGCNConfig, TorchPropagation
from dconrec_core.types import Interactions

CPU = torch.device("cpu")


def state(seed: int = 1) -> np.ndarray:
    return np.array([seed], dtype=np.uint64)


def small(seed: int = 0, n_users: int = 12, n_items: int = 9, n: int = 40) -> Interactions:
    rng = np.random.default_rng(seed)
    cells = rng.choice(n_users * n_items, size=n, replace=False)
    return Interactions.of(cells // n_items, cells % n_items, n_users, n_items)


def negatives_of(train: Interactions, order: np.ndarray, random: np.ndarray) -> np.ndarray:
    """The items the compiled loop draws, in its order: both take one stream and draw per interaction."""
    triplets = Triplets(train, np.random.default_rng(0))
    triplets.random = random
    return triplets.negatives(order)


@given(st.integers(0, 1000))
def test_shuffle_permutes(seed: int) -> None:
    order = np.arange(50, dtype=np.int32)
    kernels.shuffle(state(seed), order)
    assert sorted(order) == list(range(50))
    assert order.tolist() != list(range(50))


def test_every_order_is_as_likely() -> None:
    random, rounds = state(), 12_000
    seen: Counter[tuple[int, ...]] = Counter()
    for _ in range(rounds):
        order = np.arange(3, dtype=np.int32)
        kernels.shuffle(random, order)
        seen[tuple(order.tolist())] += 1
    assert len(seen) == 6
    assert all(abs(count - rounds / 6) < 5 * (rounds / 6) ** 0.5 for count in seen.values())


def test_random_stream_goes_on_exactly_where_it_stopped() -> None:
    whole, parts = np.arange(30, dtype=np.int32), np.arange(30, dtype=np.int32)
    one, other = state(), state()
    for _ in range(2):
        kernels.shuffle(one, whole)
    kernels.shuffle(other, parts)
    kernels.shuffle(other.copy(), parts)
    assert whole.tolist() == parts.tolist()


def test_negatives_are_never_positives_and_cover_the_rest() -> None:
    train = small()
    order = np.tile(np.arange(len(train), dtype=np.int32), 200)
    negatives = negatives_of(train, order, state())
    pairs = set(zip(train.users[order].tolist(), negatives.tolist(), strict=True))
    seen = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert not pairs & seen
    active = {user for user, _ in seen}
    assert pairs == {(u, i) for u in active for i in range(train.n_items)} - seen


def test_a_user_who_has_everything_gets_some_item_and_no_hang() -> None:
    train = Interactions.of([0, 0, 0], [0, 1, 2], 1, 3)
    assert set(negatives_of(train, np.arange(3, dtype=np.int32), state())) <= {0, 1, 2}


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30), st.floats(-1, 2))
def test_clamped_sum(values: list[float], shift: float) -> None:
    array = np.array(values)
    total, inside = kernels.clamped_sum(array, shift)
    assert total == pytest.approx((array - shift).clip(0, 1).sum())
    assert inside == ((array > shift) & (array - shift < 1)).sum()


def test_bpr_epoch_takes_the_steps_of_the_readable_version() -> None:
    train, config = small(), BPRMFConfig(embedding_size=8)
    compiled = Factors(train, config, np.random.default_rng(0))
    readable = TorchFactors(train, config, np.random.default_rng(0), CPU)
    np.testing.assert_array_equal(compiled.users, readable.tables[0].numpy())
    random = compiled.triplets.random.copy()
    order = np.arange(len(train), dtype=np.int32)
    kernels.shuffle(random, order)
    losses = []
    for interaction, negative in zip(order, negatives_of(train, order, random), strict=True):
        triplet = (train.users[interaction], train.items[interaction], negative)
        losses.append(float(readable.step(*(torch.tensor([int(row)]) for row in triplet))))
    assert compiled.epoch() == pytest.approx(np.mean(losses), rel=1e-6)
    np.testing.assert_allclose(compiled.users, readable.tables[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(compiled.items, readable.tables[1].numpy(), atol=1e-6)


def test_lightgcn_gradient_is_that_of_autograd() -> None:
    train, config = small(), LightGCNConfig(embedding_size=8, n_layers=3)
    compiled = CompiledPropagation(train, config, np.random.default_rng(0))
    readable = TorchPropagation(train, config, np.random.default_rng(0), CPU)
    users, positives = train.users, train.items + np.int32(train.n_users)
    negatives = negatives_of(train, np.arange(len(train), dtype=np.int32), state()) + np.int32(train.n_users)
    nodes = [torch.from_numpy(ids.astype(np.int64)) for ids in (users, positives, negatives)]
    loss, penalty = readable.losses(*nodes)
    ((loss + penalty) / len(users)).backward()
    gradient, decayed = np.empty_like(compiled.base), np.empty_like(compiled.base)
    decay = np.float32(config.weight_decay)
    got = kernels.bpr_gradient(users, positives, negatives, compiled.final(), compiled.base, decay, gradient, decayed)
    assert got == pytest.approx(loss.item(), rel=1e-6)
    assert readable.base.grad is not None
    whole = compiled.graph.average_layers(gradient, config.n_layers) + decayed
    np.testing.assert_allclose(whole, readable.base.grad.numpy(), atol=1e-6)


def test_lightgcn_steps_like_torch_adam() -> None:
    train, config = small(), LightGCNConfig(embedding_size=8, n_layers=2)
    compiled = CompiledPropagation(train, config, np.random.default_rng(0))
    readable = TorchPropagation(train, config, np.random.default_rng(0), CPU)
    negatives = negatives_of(train, np.arange(len(train), dtype=np.int32), state()) + np.int32(train.n_users)
    nodes = (train.users, train.items + np.int32(train.n_users), negatives)
    for _ in range(5):
        ours = compiled.step(*nodes)
        theirs = float(readable.step(*(torch.from_numpy(ids.astype(np.int64)) for ids in nodes)))
        assert ours == pytest.approx(theirs, rel=1e-4)
    np.testing.assert_allclose(compiled.base, readable.base.detach().numpy(), atol=1e-4)


def test_adam_step_is_torch_adam() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3)).astype(np.float32)
    parameter = torch.from_numpy(weights.copy()).requires_grad_()
    optimizer = torch.optim.Adam([parameter], lr=0.01)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, 6):
        parts = rng.normal(size=(2, 4, 3)).astype(np.float32)
        parameter.grad = torch.from_numpy(parts.sum(axis=0))
        optimizer.step()
        kernels.adam_step(weights, parts[0], parts[1], first, second, step, np.float32(0.01))
    np.testing.assert_allclose(weights, parameter.detach().numpy(), atol=1e-6)


def test_spmm_is_scipys_product() -> None:
    graph = Graph.of(small())
    matrix = sparse.csr_array((graph.values, graph.indices, graph.indptr), shape=(graph.n_nodes, graph.n_nodes))
    dense = np.random.default_rng(0).normal(size=(graph.n_nodes, 5)).astype(np.float32)
    product, total = np.empty_like(dense), dense.copy()
    kernels.spmm(graph.indptr, graph.indices, graph.values, dense, product, total)
    np.testing.assert_allclose(product, matrix @ dense, atol=1e-6)
    np.testing.assert_allclose(total, dense + matrix @ dense, atol=1e-6)


@pytest.mark.parametrize("longest", [0, 3, 4, 11])
def test_rows_are_added_to_scipys_bits(longest: int) -> None:
    rng = np.random.default_rng(longest)
    histories = [np.sort(rng.choice(20, n, replace=False)) for n in rng.integers(0, longest + 1, 9)]
    indptr = np.cumsum([0, *map(len, histories)])
    indices = np.concatenate(histories).astype(np.int32)
    matrix = sparse.csr_array((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(9, 20))
    table = rng.normal(size=(20, 7)).astype(np.float32)
    assert np.array_equal(sums_of_rows(matrix, table), matrix @ table)
    assert np.array_equal(sums_of_rows(matrix, np.asfortranarray(table)), matrix @ table)


def test_bpr_losses_hand_made() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, 4)).astype(np.float32) for n in (3, 6))
    who, positives = np.array([0, 2], dtype=np.int32), np.array([1, 5], dtype=np.int32)
    negatives = np.array([[0, 2, 3], [4, 0, 1]], dtype=np.int32)
    losses = np.empty(2, dtype=np.float32)
    kernels.bpr_losses(who, positives, negatives, users, items, losses)
    scores = users[who] @ items.T
    for row in range(2):
        margins = scores[row, positives[row]] - scores[row, negatives[row]]
        assert losses[row] == pytest.approx(np.log1p(np.exp(-margins)).mean(), rel=1e-5)


def test_training_losses_stay_finite_however_wrong_the_model_is() -> None:
    """A margin of −200: exp(200) is no float32."""
    train, config = Interactions.of([0], [0], 1, 2), BPRMFConfig(embedding_size=1, weight_decay=0)
    compiled = Factors(train, config, np.random.default_rng(0))
    compiled.users[:], compiled.items[:] = 10, [[-10], [10]]
    assert compiled.epoch() == pytest.approx(200)
    final = np.array([[10], [-10], [10]], dtype=np.float32)
    nodes, gradient, decayed = np.arange(3, dtype=np.int32), np.empty_like(final), np.empty_like(final)
    zero = np.float32(0)
    loss = kernels.bpr_gradient(nodes[:1], nodes[1:2], nodes[2:], final, final, zero, gradient, decayed)
    assert loss == pytest.approx(200)
    assert gradient.tolist() == [[20], [-10], [10]]


def test_losses_stay_finite_however_wrong_the_model_is() -> None:
    factors = np.full((2, 1), 100, dtype=np.float32)
    items = np.array([[-100], [100]], dtype=np.float32)
    losses = np.empty(1, dtype=np.float32)
    zero = np.zeros(1, dtype=np.int32)
    kernels.bpr_losses(zero, zero, np.array([[1]], dtype=np.int32), factors, items, losses)
    assert losses[0] == pytest.approx(20_000)
