"""NGCF: graph convolution with weights and an interaction term (Wang et al., SIGIR 2019, arXiv:1905.08108)."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.device import mixed_precision
from dconrec_core.kernels import bpr_gradient
from dconrec_core.models._factors import EmbeddingConfig, initial_tables
from dconrec_core.models._graph import Graph, default_batch
from dconrec_core.models._graph_training import GraphModel, GraphTrainer, TorchGraphTraining, bpr_losses
from dconrec_core.models._ngcf_kernels import SLOPE, activate, activate_back, draw_kept, interact_back
from dconrec_core.models._reach import Reach
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
    """Triplets a step; by default an eightieth of an epoch, at least 2048: larger steps overfit before they have
    learned as much. On CUDA, or where a batch touches half of the nodes, a step propagates over the whole graph."""


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
    """The same training with gradients in closed form, and only where a batch needs them.

    Autograd's passes over memory took half of a step, nodes far from the batch most of the rest.
    """

    def __init__(self, train: Interactions, config: NGCFConfig, rng: np.random.Generator) -> None:
        super().__init__(train, config, rng, torch.device("cpu"))
        self.whole = Reach.whole(self.graph, np.empty(0, dtype=np.int64), config.n_layers)
        self.layers = [Layer(self.graph.n_nodes, config.embedding_size) for _ in range(config.n_layers)]
        self.gradients = [torch.zeros_like(value) for value in self.parameters.values()]
        for value, gradient in zip(self.parameters.values(), self.gradients, strict=True):
            value.grad = gradient
        shape = (self.graph.n_nodes, (config.n_layers + 1) * config.embedding_size)
        self.rows, self.gradient, self.penalty = (np.empty(shape, dtype=np.float32) for _ in range(3))

    def final(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """See ``Propagation.final``; the same memory every time."""
        return torch.from_numpy(self.final_of(self.whole, kept))

    def final_of(self, reach: Reach, kept: torch.Tensor | None) -> FloatArray:
        """The final embeddings of the nodes that a batch is of, ``[reach.counts[-1], (L + 1) d]``."""
        base, weights, biases = (value.detach() for value in self.parameters.values())
        scale = np.float32(1 if kept is None else 1 / (1 - self.config.dropout))
        current, final, size = base.numpy()[reach.nodes], self.rows[: reach.counts[-1]], self.config.embedding_size
        final[:, :size] = current[: len(final)]
        for place, (layer, n_rows) in enumerate(zip(self.layers, reach.counts[1:], strict=True)):
            mask = None if kept is None else kept[place].numpy()[reach.nodes[:n_rows]]
            current = layer.forward(
                reach, n_rows, current, weights[place], biases[place], mask, scale, final, (place + 1) * size
            )
        return final

    def kept(self) -> torch.Tensor | None:
        """See ``Propagation.kept``; from the kernels' stream."""
        if self.config.dropout == 0:
            return None
        kept = torch.empty((self.config.n_layers, self.graph.n_nodes, self.config.embedding_size), dtype=torch.bool)
        draw_kept(self.triplets.random, self.config.dropout, kept.numpy())
        return kept

    def backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """See ``TorchGraphTraining.backward``; gradients are set, not added to."""
        batch = np.stack([nodes.numpy() for nodes in (users, positives, negatives)])
        reach, size = Reach.of(self.graph, batch, self.config.n_layers), self.config.embedding_size
        final = self.final_of(reach, self.kept())
        by_final, penalty = self.gradient[: len(final)], self.penalty[: len(final)]
        decay = np.float32(self.config.weight_decay)
        of_users, of_positives, of_negatives = reach.batch
        loss = bpr_gradient(of_users, of_positives, of_negatives, final, final, decay, by_final, penalty)
        by_final += penalty
        by_layer = torch.zeros(len(final), size)
        by_base, by_weights, by_biases = self.gradients
        for place in reversed(range(len(self.layers))):
            by_layer = self.layers[place].backward(
                self.parameters["weights"][place].detach(), final, (place + 1) * size, by_final, by_layer,
                by_weights[place], by_biases[place],
            )  # fmt: skip
        by_layer[: len(final)] += torch.from_numpy(by_final)[:, :size]
        by_base.zero_()
        by_base.numpy()[reach.nodes] = by_layer.numpy()
        return torch.tensor(loss)

    def step(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """See ``TorchGraphTraining.step``."""
        loss = self.backward(users, positives, negatives)
        self.optimizer.step()
        return loss


class Layer:
    """A layer of NGCF and what its derivative needs of the last forward pass.

    Args:
        n_nodes: The most it is computed at.
        size: Numbers a node, d.
    """

    def __init__(self, n_nodes: int, size: int) -> None:
        self.size = size
        self.everything = np.ones((n_nodes, size), dtype=np.bool_)
        self.memory = [torch.empty(n_nodes, size) for _ in range(4)]
        self.lengths = np.empty(n_nodes, dtype=np.float32)

    def forward(
        self,
        reach: Reach,
        n_rows: int,
        current: FloatArray,
        weights: torch.Tensor,
        bias: torch.Tensor,
        kept: BoolArray | None,
        scale: np.float32,
        final: FloatArray,
        column: int,
    ) -> FloatArray:
        """The next layer at the first ``n_rows`` nodes, ``[n_rows, d]``, from this one at their neighbours, too.

        Scaled to length 1 it is put into the columns of ``final``, as far as that has rows.
        """
        self.reach, self.current, self.scale = reach, current, scale
        self.kept = self.everything[:n_rows] if kept is None else kept
        self.product, self.total, self.interaction, self.activated = (table[:n_rows] for table in self.memory)
        self.inverse, own = self.lengths[:n_rows], torch.from_numpy(current[:n_rows])
        self.total.copy_(own)
        reach.multiply(current, self.product.numpy(), self.total.numpy())
        torch.mul(self.product, own, out=self.interaction)
        torch.mm(self.total, weights[: self.size], out=self.activated).addmm_(self.interaction, weights[self.size :])
        layer = self.activated.numpy()
        activate(layer, bias.numpy(), self.kept, scale, self.inverse, final, column)
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
        n_rows = len(by_layer)
        activate_back(
            self.activated.numpy(), self.kept, self.scale, self.inverse, final, column, by_final, by_layer.numpy(),
            by_bias.numpy(),
        )  # fmt: skip
        torch.mm(self.total.T, by_layer, out=by_weights[: self.size])
        torch.mm(self.interaction.T, by_layer, out=by_weights[self.size :])
        by_current, by_interaction = torch.zeros(self.current.shape), by_layer @ weights[self.size :].T
        own = torch.mm(by_layer, weights[: self.size].T, out=by_current[:n_rows]).numpy()
        interact_back(self.current[:n_rows], self.product.numpy(), own, by_interaction.numpy())
        self.reach.multiply_back(by_interaction.numpy(), by_current.numpy())
        return by_current


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
