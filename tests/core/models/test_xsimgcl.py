"""XSimGCL: InfoNCE, which layers are averaged, what noise and contrast touch; gradients are in ``test_engines``."""

from typing import Any

import numpy as np
import pytest
import torch

from dconrec_core.errors import ConfigError
from dconrec_core.kernels import perturb
from dconrec_core.models import MODELS
from dconrec_core.models.xsimgcl import CompiledContrast, TorchContrast, XSimGCLConfig, info_nce
from dconrec_core.types import Interactions, Split
from tests.core.models.test_lightgcn import dense_adjacency

CPU = torch.device("cpu")


def engines(train: Interactions, **settings: float) -> tuple[CompiledContrast, TorchContrast]:
    config = XSimGCLConfig.model_validate({"embedding_size": 6, **settings})
    return (
        CompiledContrast(train, config, np.random.default_rng(0)),
        TorchContrast(train, config, np.random.default_rng(0), CPU),
    )


def array(values: Any) -> np.ndarray:
    """A copy, of an array or of a tensor."""
    return torch.as_tensor(values).detach().numpy().copy()


@pytest.mark.parametrize(("rows", "temperature"), [(1, 0.2), (2, 1.0), (40, 0.1), (40, 0.01)])
def test_info_nce_and_its_gradients_are_those_of_autograd(rows: int, temperature: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(rows, 5)).astype(np.float32)
    second = (first + rng.normal(size=(rows, 5))).astype(np.float32)
    a, b = (torch.from_numpy(x).double().requires_grad_() for x in (first, second))
    cosines = torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T
    expected = torch.nn.functional.cross_entropy(cosines / temperature, torch.arange(rows))
    expected.backward()
    loss, by_first, by_second = info_nce(first, second, temperature)
    assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    for ours, theirs in ((by_first, a.grad), (by_second, b.grad)):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * max(1, np.abs(theirs.numpy()).max()))


def test_info_nce_of_rows_without_a_direction_is_finite() -> None:
    rows = np.zeros((3, 4), dtype=np.float32)
    loss, *gradients = info_nce(rows, rows, 0.2)
    assert loss == pytest.approx(np.log(3))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_scores_come_from_the_mean_of_the_layers_above_the_first_without_noise(
    n_layers: int, planted_split: Split
) -> None:
    train = planted_split.train.take(planted_split.train.users >= 5)  # five isolated users
    adjacency = dense_adjacency(train)
    powers = [np.linalg.matrix_power(adjacency, power) for power in range(1, n_layers + 1)]
    for trainer in engines(train, n_layers=n_layers):
        base = trainer.weights()["base"]
        users, items = trainer.factors()
        expected = np.mean(powers, axis=0) @ base
        np.testing.assert_allclose(np.concatenate((users, items)), expected, atol=1e-6)
        ids = np.array([7, 9], dtype=np.int32)
        np.testing.assert_allclose(trainer.score(ids), expected[ids] @ expected[60:].T, atol=1e-6)


@pytest.mark.parametrize("contrast_layer", [1, 2])
def test_noise_moves_every_layer_that_it_reaches_by_its_length(contrast_layer: int, planted_split: Split) -> None:
    """Both engines; a layer carries the noise of the layers below it through the adjacency."""
    for trainer in engines(planted_split.train, n_layers=2, contrast_layer=contrast_layer, noise=0.3):
        mean, layer = (array(x) for x in trainer.layers(0.3))
        quiet_mean, quiet_layer = (array(x) for x in trainer.layers(0.0))
        if contrast_layer == 1:
            np.testing.assert_allclose(np.linalg.norm(layer - quiet_layer, axis=1), 0.3, rtol=1e-4)
        assert not np.allclose(mean, quiet_mean, atol=0.01)


def test_noise_is_another_at_every_call_and_goes_on_from_its_stream() -> None:
    layer = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    state = np.array([5], dtype=np.uint64)
    results = []
    for stream in (state, state, np.array([5], dtype=np.uint64)):
        moved = layer.copy()
        perturb(moved, moved.copy(), np.float32(0.2), stream)
        results.append(moved)
    assert not np.allclose(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_noise_of_a_row_of_zeros_is_none() -> None:
    layer = np.zeros((4, 8), dtype=np.float32)
    total = np.ones((4, 8), dtype=np.float32)
    perturb(layer, total, np.float32(0.2), np.array([5], dtype=np.uint64))
    assert (layer == 0).all()
    assert (total == 1).all()


def test_numbers_behind_the_noise_are_uniform() -> None:
    """Of a row of ones, whose noise is proportional to them."""
    layer = np.ones((200, 1024), dtype=np.float32)
    perturb(layer, layer.copy(), np.float32(1), np.array([5], dtype=np.uint64))
    noise = (layer - 1).astype(np.float64)
    assert noise.min() >= 0
    uniform = noise * np.sqrt(1024 / 3)  # quadratic mean of U(0, 1) is 1 / √3
    assert uniform.mean() == pytest.approx(0.5, abs=0.003)
    assert np.histogram(uniform, bins=4, range=(0, 1.1))[0] / uniform.size == pytest.approx(
        [0.275, 0.275, 0.275, 0.175], abs=0.01
    )
    for table in (uniform, uniform.T[:200]):  # neither rows nor columns know of one another
        assert np.abs(np.corrcoef(table) - np.eye(200)).max() < 0.4


def test_contrast_is_over_the_distinct_nodes_of_the_first_triplets(planted_split: Split) -> None:
    """Triplets beyond ``contrast_size`` add to the BPR loss alone."""
    users = np.array([3, 3, 4, 5, 6], dtype=np.int32)
    positives = np.array([60, 61, 60, 62, 63], dtype=np.int32)
    negatives = np.array([70, 71, 72, 73, 74], dtype=np.int32)
    settings = {"noise": 0, "contrast_size": 3, "contrast_weight": 0.5}
    for trainer, plain in zip(
        engines(planted_split.train, **settings),
        engines(planted_split.train, **{**settings, "contrast_weight": 0}),
        strict=True,
    ):
        mean, layer = (array(x) for x in trainer.layers(0.0))
        contrast = sum(info_nce(mean[nodes], layer[nodes], 0.2)[0] for nodes in ([3, 4], [60, 61]))
        losses = []
        for engine in (trainer, plain):
            if isinstance(engine, CompiledContrast):
                losses.append(engine.gradients(users, positives, negatives)[0])
            else:
                batch = (torch.from_numpy(ids).long() for ids in (users, positives, negatives))
                losses.append(engine.losses(*batch)[0].item())
        assert losses[0] - losses[1] == pytest.approx(0.5 * 5 * contrast, rel=1e-4)


def test_layer_that_is_not_there_cannot_be_contrasted() -> None:
    with pytest.raises(ConfigError, match="contrast_layer 3 is above n_layers 2"):
        MODELS["xsimgcl"].configure("teacher.config", {"n_layers": 2, "contrast_layer": 3})
