"""NGCF: graph convolution with weights and an interaction term (Wang et al., SIGIR 2019, arXiv:1905.08108)."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.device import mixed_precision
from dconrec_core.kernels import bpr_gradient, spmm
from dconrec_core.models._factors import initial_factors
from dconrec_core.models._graph import Graph
from dconrec_core.models._graph_training import GraphModel, GraphTrainer, TorchGraphTraining, bpr_losses
from dconrec_core.models.base import EpochConfig
from dconrec_core.types import Interactions

SLOPE = 0.2  # of the leaky ReLU, as in the authors' code


class NGCFConfig(EpochConfig):
    """Settings of NGCF."""

    embedding_size: int = Field(64, ge=1)
    n_layers: int = Field(3, ge=1)
    """Hops of the propagation, each with weights of its own."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each layer's numbers that a training step leaves out (message dropout)."""
    learning_rate: float = Field(0.003, gt=0)
    """Step size of Adam."""
    weight_decay: float = Field(0.001, ge=0)
    """L2 penalty on the final embeddings of each triplet."""
    init_scale: float = Field(0.02, gt=0)
    """Standard deviation of the initial embeddings: small beside the layers, whose rows have length 1."""
    batch_size: int | None = Field(None, ge=1)
    """Triplets a step, each of which propagates over the whole graph; by default a twelfth of an epoch, at least
    4096."""


class Neighbours(torch.autograd.Function):
    """AE and AE + E of a symmetric A on the CPU; the backward pass multiplies by the same matrix."""

    @staticmethod
    def forward(ctx: Any, graph: Graph, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two tensors ``[n_nodes, d]``."""
        ctx.graph = graph
        product, total = torch.empty_like(embeddings), embeddings.clone()
        spmm(graph.indptr, graph.indices, graph.values, embeddings.numpy(), product.numpy(), total.numpy())
        return product, total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        """A(g + h) + h."""
        of_product, of_total = gradients
        graph, both, total = ctx.graph, (of_product + of_total).numpy(), of_total.clone()
        spmm(graph.indptr, graph.indices, graph.values, both, np.empty_like(both), total.numpy())
        return None, total


class Propagation(TorchGraphTraining):
    """An NGCF in training, on either device."""

    def __init__(self, train: Interactions, config: NGCFConfig, rng: np.random.Generator, device: torch.device) -> None:
        graph, size, layers = Graph.of(train), config.embedding_size, config.n_layers
        bound = np.sqrt(3 / size)  # Glorot's
        start = {
            "base": initial_factors(rng, graph.n_nodes, size, config.init_scale),
            "weights": rng.uniform(-bound, bound, (layers, 2 * size, size)).astype(np.float32),
            "biases": np.zeros((layers, size), dtype=np.float32),
        }
        super().__init__(train, config, graph, start, rng, device)
        self.adjacency = None if device.type == "cpu" else graph.torch(device)

    def final(self, dropout: float = 0.0) -> torch.Tensor:
        """The initial embeddings and every layer's, scaled to length 1, side by side: ``[n_nodes, (L + 1) d]``."""
        current = self.parameters["base"]
        layers = [current]
        for weights, bias in zip(self.parameters["weights"], self.parameters["biases"], strict=True):
            neighbours, total = self._neighbours(current)
            with mixed_precision(self.device):
                mixed = torch.cat((total, neighbours * current), dim=1) @ weights
            current = torch.nn.functional.leaky_relu(mixed.float() + bias, SLOPE)
            if dropout > 0:
                kept = torch.empty_like(current).bernoulli_(1 - dropout, generator=self.generator)
                current = current * kept / (1 - dropout)
            layers.append(torch.nn.functional.normalize(current))
        return torch.cat(layers, dim=1)

    def _neighbours(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.adjacency is None:
            product, total = Neighbours.apply(self.graph, embeddings)  # type: ignore[no-untyped-call]
            return product, total
        product = self.adjacency @ embeddings
        return product, product + embeddings

    def backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Closed form on the CPU, autograd elsewhere; see ``TorchGraphTraining.backward``."""
        if self.device.type == "cpu":
            return self.compiled_backward(users, positives, negatives)
        return super().backward(users, positives, negatives)

    def compiled_backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """``backward`` with the loss and its gradients in closed form, since autograd copies the rows of triplets."""
        final = self.final(self.config.dropout)
        rows, gradient, penalty = final.detach().numpy(), torch.empty_like(final), torch.empty_like(final)
        decay = np.float32(self.config.weight_decay)
        batch = users.numpy(), positives.numpy(), negatives.numpy()
        loss = bpr_gradient(*batch, rows, rows, decay, gradient.numpy(), penalty.numpy())
        final.backward(gradient.add_(penalty))
        return torch.tensor(loss)

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed BPR loss and summed L2 penalty of a batch."""
        final = self.final(self.config.dropout)
        return bpr_losses(final, final, (users, positives, negatives), self.config.weight_decay)


class NGCF(GraphModel):
    """Neural graph collaborative filtering."""

    name = "ngcf"

    def trainer(self, train: Interactions, rng: np.random.Generator, device: torch.device) -> GraphTrainer:
        """One engine for both."""
        return Propagation(train, self.config, rng, device)

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set; see BPRMF."""
        return [{}, {"weight_decay": 0.0003}, {"weight_decay": 0.003}, {"n_layers": 2}, {"dropout": 0.3}]
