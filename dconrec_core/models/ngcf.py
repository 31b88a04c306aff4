"""NGCF: graph convolution with weights and an interaction term (Wang et al., SIGIR 2019, arXiv:1905.08108)."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.device import mixed_precision
from dconrec_core.kernels import bpr_gradient, spmm
from dconrec_core.models._factors import EmbeddingConfig, initial_tables
from dconrec_core.models._graph import Graph, default_batch
from dconrec_core.models._graph_training import GraphModel, GraphTrainer, TorchGraphTraining, bpr_losses
from dconrec_core.models._ngcf_kernels import SLOPE, activate, activate_back, draw_kept, interact_back
from dconrec_core.types import BoolArray, FloatArray, Interactions


class NGCFConfig(EmbeddingConfig):
    """Settings of NGCF."""

    n_layers: int = Field(3, ge=1)
    """Hops of the propagation, each with weights of its own."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each layer's numbers that a training step leaves out (message dropout)."""
    learning_rate: float = Field(0.002, gt=0)
    """Step size of Adam."""
    weight_decay: float = Field(0.0001, ge=0)
    """L2 penalty on the final embeddings of each triplet."""
    init_scale: float = Field(0.02, gt=0)
    """Standard deviation of the users' initial embeddings: small beside the layers, whose rows have length 1."""
    item_init_scale: float = Field(0.02, gt=0)
    batch_size: int | None = Field(None, ge=1)
    """Triplets a step, each of which propagates over the whole graph; by default an eightieth of an epoch, at least
    2048: larger steps overfit before they have learned as much."""


class Propagation(TorchGraphTraining):
    """An NGCF in training by autograd, for CUDA and as the readable oracle of the closed form."""

    def __init__(self, train: Interactions, config: NGCFConfig, rng: np.random.Generator, device: torch.device) -> None:
        graph, size, layers = Graph.of(train), config.embedding_size, config.n_layers
        bound = np.sqrt(3 / size)  # Glorot's
        start = {
            "base": np.concatenate(initial_tables(train, config, rng)),
            "weights": rng.uniform(-bound, bound, (layers, 2 * size, size)).astype(np.float32),
            "biases": np.zeros((layers, size), dtype=np.float32),
        }
        super().__init__(train, config, graph, start, rng, device)

    @cached_property
    def adjacency(self) -> torch.Tensor:
        """The graph's matrix on the device."""
        return self.graph.torch(self.device)

    def batch_size(self) -> int:
        """Triplets a step."""
        return self.config.batch_size or default_batch(len(self.train), steps=80, least=2048)

    def final(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """The initial embeddings and every layer's, scaled to length 1, side by side: ``[n_nodes, (L + 1) d]``.

        Args:
            kept: What dropout leaves of each layer, bool ``[L, n_nodes, d]``; None for all.
        """
        current = self.parameters["base"]
        layers = [current]
        for place in range(self.config.n_layers):
            neighbours = self.adjacency @ current
            with mixed_precision(self.device):
                both = torch.cat((neighbours + current, neighbours * current), dim=1)
                mixed = both @ self.parameters["weights"][place]
            current = torch.nn.functional.leaky_relu(mixed.float() + self.parameters["biases"][place], float(SLOPE))
            if kept is not None:
                current = current * kept[place] / (1 - self.config.dropout)
            layers.append(torch.nn.functional.normalize(current))
        return torch.cat(layers, dim=1)

    def kept(self) -> torch.Tensor | None:
        """What dropout leaves of each layer in the next step."""
        if self.config.dropout == 0:
            return None
        shape = (self.config.n_layers, self.graph.n_nodes, self.config.embedding_size)
        share = torch.full(shape, 1 - self.config.dropout, device=self.device)
        return torch.bernoulli(share, generator=self.generator).bool()

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed BPR loss and summed L2 penalty of a batch."""
        final = self.final(self.kept())
        return bpr_losses(final, final, (users, positives, negatives), self.config.weight_decay)


class CompiledPropagation(Propagation):
    """The same training with gradients in closed form: autograd's passes over memory took half of a step."""

    def __init__(self, train: Interactions, config: NGCFConfig, rng: np.random.Generator) -> None:
        super().__init__(train, config, rng, torch.device("cpu"))
        self.layers = [Layer(self.graph, config.embedding_size) for _ in range(config.n_layers)]
        self.gradients = [torch.zeros_like(value) for value in self.parameters.values()]
        for value, gradient in zip(self.parameters.values(), self.gradients, strict=True):
            value.grad = gradient
        shape = (self.graph.n_nodes, (config.n_layers + 1) * config.embedding_size)
        self.rows, self.gradient, self.penalty = (np.empty(shape, dtype=np.float32) for _ in range(3))

    def final(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """See ``Propagation.final``; the same memory every time."""
        base, weights, biases = (value.detach() for value in self.parameters.values())
        scale = np.float32(1 if kept is None else 1 / (1 - self.config.dropout))
        current, size = base.numpy(), self.config.embedding_size
        self.rows[:, :size] = current
        for place, layer in enumerate(self.layers):
            mask = layer.everything if kept is None else kept[place].numpy()
            current = layer.forward(current, weights[place], biases[place], mask, scale, self.rows, (place + 1) * size)
        return torch.from_numpy(self.rows)

    def kept(self) -> torch.Tensor | None:
        """See ``Propagation.kept``; from the kernels' stream."""
        if self.config.dropout == 0:
            return None
        kept = torch.empty((self.config.n_layers, self.graph.n_nodes, self.config.embedding_size), dtype=torch.bool)
        draw_kept(self.triplets.random, self.config.dropout, kept.numpy())
        return kept

    def backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """See ``TorchGraphTraining.backward``."""
        rows, size = self.final(self.kept()).numpy(), self.config.embedding_size
        loss = bpr_gradient(
            users.numpy(), positives.numpy(), negatives.numpy(), rows, rows, np.float32(self.config.weight_decay),
            self.gradient, self.penalty,
        )  # fmt: skip
        self.gradient += self.penalty
        by_layer = torch.zeros(self.graph.n_nodes, size)
        by_base, by_weights, by_biases = self.gradients
        for place in range(len(self.layers) - 1, -1, -1):
            by_layer = self.layers[place].backward(
                self.parameters["weights"][place].detach(), self.rows, (place + 1) * size, self.gradient, by_layer,
                by_weights[place], by_biases[place],
            )  # fmt: skip
        torch.add(by_layer, torch.from_numpy(self.gradient)[:, :size], out=by_base)
        return torch.tensor(loss)

    def step(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """See ``TorchGraphTraining.step``; gradients are set, not added to."""
        loss = self.backward(users, positives, negatives)
        self.optimizer.step()
        return loss


class Layer:
    """A layer of NGCF and what its derivative needs of the last forward pass.

    Args:
        graph: What is propagated over.
        size: Numbers a node, d.
    """

    def __init__(self, graph: Graph, size: int) -> None:
        shape = (graph.n_nodes, size)
        self.graph = graph
        self.everything = np.ones(shape, dtype=np.bool_)
        self.product, self.total, self.interaction, self.activated = (torch.empty(shape) for _ in range(4))
        self.inverse = np.empty(graph.n_nodes, dtype=np.float32)
        self.size = size

    def forward(
        self,
        current: FloatArray,
        weights: torch.Tensor,
        bias: torch.Tensor,
        kept: BoolArray,
        scale: np.float32,
        final: FloatArray,
        column: int,
    ) -> FloatArray:
        """The next layer, ``[n_nodes, d]``, from this one; scaled to length 1 it is put into ``final``."""
        self.current, self.kept, self.scale = current, kept, scale
        self.total.numpy()[:] = current
        self._multiply(current, self.product, self.total)
        torch.mul(self.product, torch.from_numpy(current), out=self.interaction)
        torch.mm(self.total, weights[: self.size], out=self.activated).addmm_(self.interaction, weights[self.size :])
        layer = self.activated.numpy()
        activate(layer, bias.numpy(), kept, scale, self.inverse, final, column)
        return layer

    def backward(
        self,
        weights: torch.Tensor,
        final: FloatArray,
        column: int,
        by_final: FloatArray,
        by_layer: torch.Tensor,
        by_weights: torch.Tensor,
        by_bias: torch.Tensor,
    ) -> torch.Tensor:
        """From the gradients of what ``forward`` gave to that of what it was given; fills those of the weights."""
        activate_back(
            self.activated.numpy(), self.kept, self.scale, self.inverse, final, column, by_final, by_layer.numpy(),
            by_bias.numpy(),
        )  # fmt: skip
        torch.mm(self.total.T, by_layer, out=by_weights[: self.size])
        torch.mm(self.interaction.T, by_layer, out=by_weights[self.size :])
        by_total, by_interaction = by_layer @ weights[: self.size].T, by_layer @ weights[self.size :].T
        interact_back(self.current, self.product.numpy(), by_total.numpy(), by_interaction.numpy())
        self._multiply(by_interaction.numpy(), self.product, by_total)  # A is its own transpose
        return by_total

    def _multiply(self, dense: FloatArray, product: torch.Tensor, total: torch.Tensor) -> None:
        spmm(self.graph.indptr, self.graph.indices, self.graph.values, dense, product.numpy(), total.numpy())


class NGCF(GraphModel):
    """Neural graph collaborative filtering."""

    name = "ngcf"

    def trainer(self, train: Interactions, rng: np.random.Generator, device: torch.device) -> GraphTrainer:
        """Compiled on the CPU, autograd elsewhere."""
        if device.type == "cpu":
            return CompiledPropagation(train, self.config, rng)
        return Propagation(train, self.config, rng, device)

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set; see BPRMF."""
        # Few users, of whom each says much: a wider start, and several passes between two looks.
        few = {
            "embedding_size": 128, "n_layers": 1, "dropout": 0.0, "init_scale": 0.3, "item_init_scale": 0.01,
            "learning_rate": 0.005, "epoch_interactions": 15_000, "input_exponent": -0.2, "output_exponent": -0.2,
        }  # fmt: skip
        return [{}, few, {"weight_decay": 0.001}, {"dropout": 0.3}, {"n_layers": 2}]
