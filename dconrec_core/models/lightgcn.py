"""LightGCN: embeddings smoothed over the interaction graph, BPR loss (He et al., SIGIR 2020, arXiv:2002.02126)."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask, ScoreFunction
from dconrec_core.kernels import adam_step, bpr_gradient, draw_negatives, shuffle
from dconrec_core.models._factors import FactorScores, initial_factors, random_state
from dconrec_core.models._graph import Graph, average_layers
from dconrec_core.models.base import EpochConfig
from dconrec_core.options import RunOptions
from dconrec_core.rng import numpy_rng
from dconrec_core.sampling import sample_negatives
from dconrec_core.training import History, run_epochs
from dconrec_core.types import FloatArray, IntArray, Interactions


class LightGCNConfig(EpochConfig):
    """Settings of LightGCN."""

    embedding_size: int = Field(64, ge=1)
    n_layers: int = Field(3, ge=1)
    learning_rate: float = Field(0.02, gt=0)
    """Step size of Adam."""
    weight_decay: float = Field(0.002, ge=0)
    """L2 penalty on the initial embeddings of each triplet."""
    init_scale: float = Field(0.1, gt=0)
    """Standard deviation of the initial embeddings."""
    batch_size: int = Field(4096, ge=1)
    """Triplets a step; each step propagates over the whole graph."""


class CompiledPropagation:
    """A LightGCN in training on the CPU: closed-form gradients, no autograd.

    Propagation is a symmetric linear map M, so the gradient with respect to the initial embeddings is M applied to the
    gradient with respect to the final ones.
    """

    def __init__(self, train: Interactions, config: LightGCNConfig, rng: np.random.Generator) -> None:
        self.train, self.config, self.graph = train, config, Graph.of(train)
        self.base = initial_factors(rng, self.graph.n_nodes, config.embedding_size, config.init_scale)
        self.first, self.second = np.zeros_like(self.base), np.zeros_like(self.base)
        self.gradient, self.penalty = np.empty_like(self.base), np.empty_like(self.base)
        self.steps = 0
        self.random = random_state(rng)
        self.order = np.arange(len(train), dtype=np.int32)

    def final(self) -> FloatArray:
        """Propagated embeddings, float32 ``[n_nodes, d]``."""
        return self.graph.average_layers(self.base, self.config.n_layers)

    def epoch(self) -> float:
        """Visit every interaction once, in a new order; returns the mean loss."""
        train, config, loss = self.train, self.config, 0.0
        shuffle(self.random, self.order)
        for start in range(0, len(self.order), config.batch_size):
            batch = self.order[start : start + config.batch_size]
            negatives = np.empty(len(batch), dtype=np.int32)
            draw_negatives(batch, train.users, train.items, train.indptr, self.random, train.n_items, negatives)
            loss += self.step(train.users[batch], train.items[batch] + train.n_users, negatives + train.n_users)
        return loss / max(len(train), 1)

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

    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now."""
        users, items = self.factors()
        return lambda ids: users[ids] @ items.T

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Final user and item embeddings."""
        final = self.final()
        return final[: self.train.n_users], final[self.train.n_users :]

    def snapshot(self) -> FloatArray:
        """A copy of the initial embeddings."""
        return self.base.copy()

    def restore(self, base: FloatArray) -> None:
        """Put them back."""
        self.base = base


class TorchPropagation:
    """The same training by autograd, for CUDA and as the readable oracle of the closed form."""

    def __init__(
        self, train: Interactions, config: LightGCNConfig, rng: np.random.Generator, device: torch.device
    ) -> None:
        self.train, self.config, self.rng, self.device = train, config, rng, device
        graph = Graph.of(train)
        self.adjacency = graph.torch(device)
        start = initial_factors(rng, graph.n_nodes, config.embedding_size, config.init_scale)
        self.base = torch.from_numpy(start).to(device).requires_grad_()
        self.optimizer = torch.optim.Adam([self.base], lr=config.learning_rate)

    def final(self) -> torch.Tensor:
        """Propagated embeddings, ``[n_nodes, d]``."""
        return average_layers(self.adjacency, self.base, self.config.n_layers)

    def epoch(self) -> float:
        """Visit every interaction once, in a new order; returns the mean loss."""
        train = self.train
        order = self.rng.permutation(len(train))
        negatives = sample_negatives(train, train.users, self.rng)
        nodes = np.stack((train.users, train.items + train.n_users, negatives + train.n_users))
        batches = torch.from_numpy(nodes[:, order].astype(np.int64)).to(self.device)
        loss = torch.zeros((), device=self.device)
        for batch in batches.split(self.config.batch_size, dim=1):
            loss += self.step(*batch)
        return float(loss) / max(len(train), 1)

    def step(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """One Adam step on a batch of triplets of node ids; returns the sum of their losses before it."""
        loss, penalty = self.losses(users, positives, negatives)
        self.optimizer.zero_grad()
        ((loss + penalty) / len(users)).backward()
        self.optimizer.step()
        return loss.detach()

    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed BPR loss and summed L2 penalty of a batch."""
        final = self.final()
        margin = (final[users] * (final[positives] - final[negatives])).sum(dim=1)
        touched = self.base[torch.cat((users, positives, negatives))]
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

    def snapshot(self) -> torch.Tensor:
        """A copy of the initial embeddings."""
        return self.base.detach().clone()

    def restore(self, base: torch.Tensor) -> None:
        """Put them back."""
        with torch.no_grad():
            self.base.copy_(base)


class LightGCN(FactorScores):
    """Light graph convolution."""

    def __init__(self, config: LightGCNConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        rng, device = numpy_rng(options.seed, "lightgcn"), resolve_device(options.device)
        trainer: CompiledPropagation | TorchPropagation
        if device.type == "cpu":
            trainer = CompiledPropagation(train, self.config, rng)
        else:
            trainer = TorchPropagation(train, self.config, rng, device)
        history = run_epochs(
            self.config,
            epoch=trainer.epoch,
            score=trainer.score,
            snapshot=trainer.snapshot,
            restore=trainer.restore,
            valid=valid,
            options=options,
            describe=f"learning_rate {self.config.learning_rate}, weight_decay {self.config.weight_decay}",
        )
        self.user_factors, self.item_factors = (np.ascontiguousarray(table) for table in trainer.factors())
        return history

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set; see BPRMF."""
        return [{}, {"weight_decay": 0.0005}, {"weight_decay": 0.005}, {"weight_decay": 0.001}, {"n_layers": 2}]
