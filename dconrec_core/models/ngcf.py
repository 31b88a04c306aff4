"""NGCF: graph convolution with weights and an interaction term (Wang et al., SIGIR 2019, arXiv:1905.08108)."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import mixed_precision, resolve_device
from dconrec_core.evaluation import RankingTask, ScoreFunction
from dconrec_core.kernels import bpr_gradient, spmm
from dconrec_core.models._adam import adam_state, restore_adam
from dconrec_core.models._factors import FactorScores, Triplets, initial_factors
from dconrec_core.models._graph import Graph, default_batch
from dconrec_core.models.base import EpochConfig
from dconrec_core.options import RunOptions
from dconrec_core.rng import numpy_rng
from dconrec_core.training import History, run_epochs
from dconrec_core.types import FloatArray, Interactions

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


class Propagation:
    """An NGCF in training, on either device.

    Args:
        train: What is learned from.
        config: Settings.
        rng: Source of the initial values and of the training's randomness.
        device: Where to train.
    """

    def __init__(self, train: Interactions, config: NGCFConfig, rng: np.random.Generator, device: torch.device) -> None:
        self.train, self.config, self.device, self.graph = train, config, device, Graph.of(train)
        self.adjacency = None if device.type == "cpu" else self.graph.torch(device)
        size, layers = config.embedding_size, config.n_layers
        bound = np.sqrt(3 / size)  # Glorot's
        start = {
            "base": initial_factors(rng, self.graph.n_nodes, size, config.init_scale),
            "weights": rng.uniform(-bound, bound, (layers, 2 * size, size)).astype(np.float32),
            "biases": np.zeros((layers, size), dtype=np.float32),
        }
        self.parameters = {name: torch.from_numpy(value).to(device).requires_grad_() for name, value in start.items()}
        self.optimizer = torch.optim.Adam(list(self.parameters.values()), lr=config.learning_rate, fused=True)
        self.triplets = Triplets(train, rng)
        self.generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))

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

    def epoch(self) -> float:
        """See ``Trainer.epoch``."""
        size = self.config.batch_size or default_batch(len(self.train))
        triplets = self.triplets.epoch()
        triplets[1:] += self.train.n_users
        nodes = torch.from_numpy(triplets).to(self.device).long()
        loss = torch.zeros((), device=self.device)
        for start in range(0, len(self.train), size):
            loss += self.step(*nodes[:, start : start + size])
        return float(loss) / max(len(self.train), 1)

    def step(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """One Adam step on a batch of triplets of node ids; returns the sum of their losses before it."""
        self.optimizer.zero_grad()
        backward = self.compiled_backward if self.device.type == "cpu" else self.backward
        loss = backward(users, positives, negatives)
        self.optimizer.step()
        return loss

    def compiled_backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """``backward`` with the loss and its gradients in closed form, since autograd copies the rows of triplets."""
        final = self.final(self.config.dropout)
        rows, gradient, penalty = final.detach().numpy(), torch.empty_like(final), torch.empty_like(final)
        decay = np.float32(self.config.weight_decay)
        batch = users.numpy(), positives.numpy(), negatives.numpy()
        loss = bpr_gradient(*batch, rows, rows, decay, gradient.numpy(), penalty.numpy())
        final.backward(gradient.add_(penalty))
        return torch.tensor(loss)

    def backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Leave the gradients of a batch's mean loss and penalty in the parameters; returns its summed loss."""
        loss, penalty = self.losses(users, positives, negatives)
        ((loss + penalty) / len(users)).backward()
        return loss.detach()

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed BPR loss and summed L2 penalty of a batch."""
        final = self.final(self.config.dropout)
        margin = (final[users] * (final[positives] - final[negatives])).sum(dim=1)
        touched = final[torch.cat((users, positives, negatives))]
        return torch.nn.functional.softplus(-margin).sum(), self.config.weight_decay / 2 * touched.square().sum()

    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now, computed on the device."""
        with torch.no_grad():
            final = self.final()
        users, items = final[: self.train.n_users], final[self.train.n_users :]
        return lambda ids: (users[torch.from_numpy(ids).to(self.device).long()] @ items.T).cpu().numpy()

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Final user and item embeddings, on the CPU."""
        with torch.no_grad():
            final = self.final().cpu().numpy()
        return final[: self.train.n_users], final[self.train.n_users :]

    def weights(self) -> Arrays:
        """Copies of all parameters, on the CPU."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.parameters.items()}

    def restore(self, weights: Arrays) -> None:
        """Put them back."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(torch.from_numpy(weights[name]))

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        random = {"random": self.triplets.random, "generator": self.generator.get_state().numpy()}
        return {**self.weights(), **adam_state(self.optimizer), **random}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        self.restore(state)
        restore_adam(self.optimizer, state)
        self.triplets.random = state["random"]
        self.generator.set_state(torch.from_numpy(state["generator"].copy()))


class NGCF(FactorScores):
    """Neural graph collaborative filtering."""

    def __init__(self, config: NGCFConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        rng, device = numpy_rng(options.seed, "ngcf"), resolve_device(options.device)
        trainer = Propagation(train, self.config, rng, device)
        history = run_epochs("ngcf", self.config, trainer, valid, options)
        self.user_factors, self.item_factors = (np.ascontiguousarray(table) for table in trainer.factors())
        return history

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set; see BPRMF."""
        return [{}, {"weight_decay": 0.0003}, {"weight_decay": 0.003}, {"n_layers": 2}, {"dropout": 0.3}]
