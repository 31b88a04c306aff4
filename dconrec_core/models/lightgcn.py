"""LightGCN: embeddings smoothed over the interaction graph, BPR loss (He et al., SIGIR 2020, arXiv:2002.02126)."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.checkpoint import Arrays
from dconrec_core.kernels import adam_step, bpr_gradient
from dconrec_core.models._factors import EmbeddingConfig, Triplets, initial_tables
from dconrec_core.models._graph import Graph, average_layers, default_batch
from dconrec_core.models._graph_training import GraphModel, GraphTrainer, TorchGraphTraining, bpr_losses
from dconrec_core.models._history import known_or_popular
from dconrec_core.models.fold_in import FoldIn
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.types import FloatArray, IntArray, Interactions


class LightGCNConfig(EmbeddingConfig):
    """Settings of LightGCN."""

    n_layers: int = Field(3, ge=1)
    learning_rate: float = Field(0.03, gt=0)
    """Step size of Adam."""
    weight_decay: float = Field(0.001, ge=0)
    """L2 penalty on the initial embeddings of each triplet."""
    batch_size: int | None = Field(None, ge=1)
    """Triplets a step, each of which propagates over the whole graph; by default a twelfth of an epoch, at least
    4096."""


class CompiledPropagation:
    """A LightGCN in training on the CPU: closed-form gradients, no autograd.

    Propagation is a symmetric linear map M, so the gradient with respect to the initial embeddings is M applied to the
    gradient with respect to the final ones.
    """

    def __init__(self, train: Interactions, config: LightGCNConfig, rng: np.random.Generator) -> None:
        self.train, self.config, self.graph = train, config, Graph.of(train)
        self.base = np.concatenate(initial_tables(train, config, rng))
        self.first, self.second = np.zeros_like(self.base), np.zeros_like(self.base)
        self.gradient, self.penalty = np.empty_like(self.base), np.empty_like(self.base)
        self.steps = 0
        self.triplets = Triplets(train, rng)

    def final(self) -> FloatArray:
        """Propagated embeddings, float32 ``[n_nodes, d]``."""
        return self.graph.average_layers(self.base, self.config.n_layers)

    def epoch(self) -> float:
        """See ``Trainer.epoch``."""
        size, loss = self.config.batch_size or default_batch(len(self.train)), 0.0
        users, positives, negatives = self.triplets.epoch()
        for start in range(0, len(users), size):
            part = slice(start, start + size)
            loss += self.step(users[part], positives[part] + self.train.n_users, negatives[part] + self.train.n_users)
        return loss / max(len(users), 1)

    def step(self, users: IntArray, positives: IntArray, negatives: IntArray) -> float:
        """One Adam step on a batch of triplets of node ids; returns the sum of their losses before it."""
        config = self.config
        decay = np.float32(config.weight_decay)
        loss = bpr_gradient(users, positives, negatives, self.final(), self.base, decay, self.gradient, self.penalty)
        pulled = self.graph.average_layers(self.gradient, config.n_layers)
        self.steps += 1
        adam_step(
            self.base, pulled, self.penalty, self.first, self.second, self.steps, np.float32(config.learning_rate)
        )
        return float(loss)

    @property
    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now."""
        return known_or_popular(DotProducts(*self.factors()), self.train)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        return FoldIn.of(self.config, self.train).scores(self.factors()[1], histories)

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Final user and item embeddings."""
        final = self.final()
        return final[: self.train.n_users], final[self.train.n_users :]

    def weights(self) -> Arrays:
        """A copy of the initial embeddings."""
        return {"base": self.base.copy()}

    def restore(self, weights: Arrays) -> None:
        """Put them back."""
        self.base = weights["base"]

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        moments = {"first": self.first, "second": self.second, "steps": np.array([self.steps])}
        return {"base": self.base, **moments, "random": self.triplets.random}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        self.base, self.first, self.second = state["base"], state["first"], state["second"]
        self.steps, self.triplets.random = int(state["steps"][0]), state["random"]


class TorchPropagation(TorchGraphTraining):
    """The same training by autograd, for CUDA and as the readable oracle of the closed form."""

    def __init__(
        self, train: Interactions, config: LightGCNConfig, rng: np.random.Generator, device: torch.device
    ) -> None:
        graph = Graph.of(train)
        base = np.concatenate(initial_tables(train, config, rng))
        super().__init__(train, config, graph, {"base": base}, rng, device)
        self.adjacency = graph.torch(device)

    @property
    def base(self) -> torch.Tensor:
        """Initial embeddings, ``[n_nodes, d]``."""
        return self.parameters["base"]

    def final(self) -> torch.Tensor:
        """Propagated embeddings, ``[n_nodes, d]``."""
        return average_layers(self.adjacency, self.base, self.config.n_layers)

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed BPR loss and summed L2 penalty of a batch."""
        return bpr_losses(self.final(), self.base, (users, positives, negatives), self.config.weight_decay)


class LightGCN(GraphModel):
    """Light graph convolution."""

    name = "lightgcn"

    def trainer(self, train: Interactions, rng: np.random.Generator, device: torch.device) -> GraphTrainer:
        """Closed form on the CPU, autograd elsewhere."""
        if device.type == "cpu":
            return CompiledPropagation(train, self.config, rng)
        return TorchPropagation(train, self.config, rng, device)

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """How far to go from where the users start: little on full data, which overwhelm any start; see BPRMF."""
        # Each user's best few: wide rows in short steps from a start at full length, held back little. As good after a
        # tenth of the time as the narrow rows of full data, and better.
        picked = {"embedding_size": 128, "learning_rate": 0.01, "weight_decay": 0.00015, "init_scale": 1.0}
        # Few users, of whom each says much: wide rows, one hop, as there is little to smooth over, and several passes
        # between two looks at valid, each of which costs as much as sixty passes over half a per cent of a million.
        few = {
            "embedding_size": 224, "n_layers": 1, "learning_rate": 0.006, "weight_decay": 0.0003, "init_scale": 1.0,
            "input_exponent": -0.1, "output_exponent": -0.1,
            "epoch_interactions": 14_000, "patience": 15, "epochs": 120,
        }  # fmt: skip
        return [{}, picked, few, {"weight_decay": 0.0005}, {"weight_decay": 0.002}, {"n_layers": 2}]
