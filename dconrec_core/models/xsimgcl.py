"""XSimGCL: LightGCN with noisy layers that are contrasted with one another (Yu et al., TKDE 2023, arXiv:2209.02544)."""

from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from dconrec_core.device import mixed_precision
from dconrec_core.kernels import adam_step, bpr_gradient, perturb, spmm
from dconrec_core.models._graph_training import GraphModel, GraphTrainer, bpr_losses
from dconrec_core.models.lightgcn import CompiledPropagation, LightGCNConfig, TorchPropagation
from dconrec_core.types import FloatArray, IntArray, Interactions


class XSimGCLConfig(LightGCNConfig):
    """Settings of XSimGCL: LightGCN's, and those of the contrast."""

    n_layers: int = Field(2, ge=1)
    weight_decay: float = Field(0.0001, ge=0)
    """L2 penalty on the initial embeddings of each triplet."""
    contrast_layer: int = Field(1, ge=1)
    """Layer that the final embeddings are contrasted with, l* in the paper."""
    contrast_weight: float = Field(0.02, ge=0)
    """Weight λ of the contrastive loss beside the BPR loss. The paper's 0.2 is for sparser data: on MovieLens it drives
    the embeddings apart before they have learned to rank."""
    contrast_size: int = Field(1024, ge=1)
    """Triplets of a step whose distinct users and items are contrasted: the loss costs its square."""
    temperature: float = Field(0.2, gt=0)
    """Temperature τ of the contrast."""
    noise: float = Field(0.2, ge=0)
    """Length ε of the random step at each layer."""

    @model_validator(mode="after")
    def _layer_exists(self) -> Self:
        if self.contrast_layer > self.n_layers:
            raise ValueError(f"contrast_layer {self.contrast_layer} is above n_layers {self.n_layers}")
        return self


class CompiledContrast(CompiledPropagation):
    """An XSimGCL in training on the CPU: closed-form gradients, no autograd.

    The noise does not depend on the embeddings but through their signs, whose derivative is 0, so that propagation is
    linear: gradients with respect to the layers are pulled back to the initial embeddings by one product a layer.
    """

    config: XSimGCLConfig

    def __init__(self, train: Interactions, config: XSimGCLConfig, rng: np.random.Generator) -> None:
        super().__init__(train, config, rng)
        self.buffers = [np.empty_like(self.base) for _ in range(config.n_layers + 2)]

    def final(self) -> FloatArray:
        """Mean of the layers above the initial one, without noise; float32 ``[n_nodes, d]``."""
        return self.layers(noise=0.0)[0].copy()

    def layers(self, noise: float) -> tuple[FloatArray, FloatArray]:
        """The mean of all layers and the layer to contrast it with: buffers that the next call overwrites."""
        mean, *layers, _ = self.buffers
        mean[:] = 0
        current = self.base
        for layer in layers:
            self._product(current, layer, mean)
            if noise > 0:
                perturb(layer, mean, np.float32(noise), self.triplets.random)
            current = layer
        mean /= len(layers)
        return mean, layers[self.config.contrast_layer - 1]

    def step(self, users: IntArray, positives: IntArray, negatives: IntArray) -> float:
        """One Adam step on a batch of triplets of node ids; returns the sum of their losses before it."""
        loss, pulled = self.gradients(users, positives, negatives)
        self.steps += 1
        rate = np.float32(self.config.learning_rate)
        adam_step(self.base, pulled, self.penalty, self.first, self.second, self.steps, rate)
        return loss

    def gradients(self, users: IntArray, positives: IntArray, negatives: IntArray) -> tuple[float, FloatArray]:
        """The batch's summed loss and the gradient of its mean; that of the penalty is left in ``self.penalty``."""
        config = self.config
        mean, layer = self.layers(config.noise)
        decay = np.float32(config.weight_decay)
        loss = float(bpr_gradient(users, positives, negatives, mean, self.base, decay, self.gradient, self.penalty))
        at_layer: list[tuple[IntArray, FloatArray]] = []
        for batch in (users, positives) if config.contrast_weight > 0 else ():
            # The order is random, so that the first of a batch are what a smaller batch would be.
            nodes = np.unique(batch[: config.contrast_size])
            contrast, by_mean, by_layer = info_nce(mean[nodes], layer[nodes], config.temperature)
            loss += config.contrast_weight * len(users) * contrast
            self.gradient[nodes] += config.contrast_weight * by_mean
            at_layer.append((nodes, config.contrast_weight * by_layer))
        self.gradient /= config.n_layers
        return loss, self._pull_back(at_layer)

    def _pull_back(self, at_layer: list[tuple[IntArray, FloatArray]]) -> FloatArray:
        """From the gradient of every layer, and rows that one of them has beside it, to that of the initial values."""
        pulled, total, product = self.buffers[:3]
        pulled[:] = self.gradient
        for layer in range(self.config.n_layers, 0, -1):
            if layer == self.config.contrast_layer:
                for nodes, rows in at_layer:
                    pulled[nodes] += rows
            total[:] = self.gradient if layer > 1 else 0
            self._product(pulled, product, total)
            pulled, total = total, pulled
        return pulled

    def _product(self, dense: FloatArray, product: FloatArray, total: FloatArray) -> None:
        spmm(self.graph.indptr, self.graph.indices, self.graph.values, dense, product, total)


def info_nce(first: FloatArray, second: FloatArray, temperature: float) -> tuple[float, FloatArray, FloatArray]:
    """InfoNCE in closed form: row i of ``first`` should be nearer to row i of ``second`` than to the other rows.

    Args:
        first: float32 ``[n, d]``; compared by cosine.
        second: float32 ``[n, d]``.
        temperature: τ; cosines are divided by it.

    Returns:
        Mean loss, and its gradients with respect to both.
    """
    length, other_length = (np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (first, second))
    a, b = first / length, second / other_length
    cosines = a @ b.T
    shares = torch.softmax(torch.from_numpy(cosines) / temperature, dim=1).numpy()  # NumPy's exp takes 4 times that
    # The logarithm of a row's sum, from its largest share: its own may have vanished.
    sums = cosines.max(axis=1) / temperature - np.log(shares.max(axis=1))
    loss = float((sums - cosines.diagonal() / temperature).mean())
    scale = np.float32(1 / (temperature * len(a)))
    by_a, by_b = (shares @ b - b) * scale, (shares.T @ a - a) * scale
    by_first = (by_a - a * (a * by_a).sum(axis=1, keepdims=True)) / length
    by_second = (by_b - b * (b * by_b).sum(axis=1, keepdims=True)) / other_length
    return loss, by_first, by_second


class TorchContrast(TorchPropagation):
    """The same training by autograd, for CUDA and as the readable oracle of the closed form."""

    config: XSimGCLConfig

    def final(self) -> torch.Tensor:
        """Mean of the layers above the initial one, without noise, ``[n_nodes, d]``."""
        return self.layers(noise=0.0)[0]

    def layers(self, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean of all layers and the layer to contrast it with."""
        layers = [self.base]
        for _ in range(self.config.n_layers):
            current = self.adjacency @ layers[-1]
            if noise > 0:
                current = current + noise * self.directions(current)
            layers.append(current)
        return torch.stack(layers[1:]).mean(dim=0), layers[self.config.contrast_layer]

    def directions(self, layer: torch.Tensor) -> torch.Tensor:
        """A random unit vector for each row, in the orthant of the row."""
        noise = torch.rand(layer.shape, generator=self.generator, device=self.device)
        return torch.sign(layer.detach()) * torch.nn.functional.normalize(noise)

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss and summed L2 penalty of a batch."""
        config = self.config
        mean, layer = self.layers(config.noise)
        loss, penalty = bpr_losses(mean, self.base, (users, positives, negatives), config.weight_decay)
        for batch in (users, positives):
            contrast = self.contrast(batch[: config.contrast_size], mean, layer)
            loss = loss + config.contrast_weight * len(users) * contrast
        return loss, penalty

    def contrast(self, nodes: torch.Tensor, mean: torch.Tensor, layer: torch.Tensor) -> torch.Tensor:
        """InfoNCE of the distinct ``nodes``, without waiting for how many there are."""
        nodes = nodes.sort().values
        repeated = torch.cat((nodes.new_zeros(1, dtype=torch.bool), nodes[1:] == nodes[:-1]))
        first, second = (torch.nn.functional.normalize(embeddings[nodes]) for embeddings in (mean, layer))
        with mixed_precision(self.device):
            cosines = first @ second.T
        logits = (cosines.float() / self.config.temperature).masked_fill(repeated, -torch.inf)
        # A repeated row has no column of its own; what it says is multiplied by 0, and so must be finite.
        own = (first * second).sum(dim=1) / self.config.temperature
        losses = torch.logsumexp(logits, dim=1) - own
        return losses.masked_fill(repeated, 0).sum() / (~repeated).sum()


class XSimGCL(GraphModel):
    """Light graph convolution with a contrastive loss."""

    name = "xsimgcl"

    def trainer(self, train: Interactions, rng: np.random.Generator, device: torch.device) -> GraphTrainer:
        """Closed form on the CPU, autograd elsewhere."""
        if device.type == "cpu":
            return CompiledContrast(train, self.config, rng)
        return TorchContrast(train, self.config, rng, device)

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """How much is contrasted, which on dense data is little, and how much the embeddings are held back."""
        # Few users, of whom each says much; see LightGCN.
        few = {
            "embedding_size": 192, "n_layers": 3, "learning_rate": 0.01, "init_scale": 3.0, "contrast_weight": 0.2,
            "epoch_interactions": 6_000, "input_exponent": -0.2, "output_exponent": -0.2,
        }  # fmt: skip
        # Some more users than that: short steps from a nearer start, and little to tell apart by contrast.
        some = {
            "embedding_size": 128, "learning_rate": 0.02, "init_scale": 1.0, "contrast_weight": 0.005,
            "input_exponent": -0.1, "output_exponent": -0.1,
        }  # fmt: skip
        return [{}, {"weight_decay": 0.0005}, few, some, {"contrast_weight": 0.1}]
