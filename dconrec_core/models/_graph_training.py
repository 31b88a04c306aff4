"""What graph models share: epochs over triplets of node ids in torch, the BPR loss, and ``fit``."""

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask
from dconrec_core.models._factors import FactorScores, Triplets
from dconrec_core.models._graph import Graph, default_batch
from dconrec_core.models._history import known_or_popular
from dconrec_core.models._torch import TorchTraining, moved_to, products_on
from dconrec_core.models.fold_in import FoldIn
from dconrec_core.options import RunOptions
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.rng import numpy_rng
from dconrec_core.training import History, Trainer, run_epochs
from dconrec_core.types import FloatArray, Interactions


class GraphTrainer(Trainer, Protocol):
    """A trainer whose scores are dot products of final embeddings."""

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Final user and item embeddings."""
        ...


class GraphModel(FactorScores, ABC):
    """A model that a ``GraphTrainer`` trains."""

    name: ClassVar[str]
    """Name in ``MODELS``, and of the random stream."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def trainer(self, train: Interactions, rng: np.random.Generator, device: torch.device) -> GraphTrainer:
        """The engine for a device."""

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        begun = time.perf_counter()
        trainer = self.trainer(train, numpy_rng(options.seed, self.name), resolve_device(options.device))
        history = run_epochs(self.name, self.config, trainer, valid, options, begun)
        users, items = (np.ascontiguousarray(table) for table in trainer.factors())
        self.keep(users, items, train, valid, history)
        return history


class TorchGraphTraining(TorchTraining, ABC):
    """A graph model in training in torch.

    Args:
        train: What is learned from.
        config: Settings: ``batch_size``, ``learning_rate``.
        graph: Its graph.
        parameters: Initial values by name.
        rng: Source of the training's randomness.
        device: Where to train.
    """

    def __init__(
        self,
        train: Interactions,
        config: Any,
        graph: Graph,
        parameters: Arrays,
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        self.train, self.config, self.graph, self.triplets = train, config, graph, Triplets(train, rng)
        super().__init__(parameters, config.learning_rate, self.triplets.random, rng, device)

    @abstractmethod
    def final(self) -> torch.Tensor:
        """The embeddings that are scored, ``[n_nodes, ·]``."""

    @abstractmethod
    def losses(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss and summed L2 penalty of a batch."""

    def batch_size(self) -> int:
        """Triplets a step."""
        return self.config.batch_size or default_batch(len(self.train))

    def epoch(self) -> float:
        """See ``Trainer.epoch``."""
        size = self.batch_size()
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
        loss = self.backward(users, positives, negatives)
        self.optimizer.step()
        return loss

    def backward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Leave the gradients of a batch's mean loss and penalty in the parameters; returns its summed loss."""
        loss, penalty = self.losses(users, positives, negatives)
        ((loss + penalty) / len(users)).backward()
        return loss.detach()

    @property
    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now, computed on the device."""
        if self.device.type == "cpu":
            return known_or_popular(DotProducts(*self.factors()), self.train)
        with torch.no_grad():
            final = self.final()
        products = products_on(self.device, final[: self.train.n_users], final[self.train.n_users :])
        return known_or_popular(products, self.train)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        return moved_to(self.device, FoldIn.of(self.config, self.train).scores(self.factors()[1], histories))

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Final user and item embeddings, on the CPU."""
        with torch.no_grad():
            final = self.final().cpu().numpy()
        return final[: self.train.n_users], final[self.train.n_users :]


def bpr_losses(
    scored: torch.Tensor, penalised: torch.Tensor, triplets: tuple[torch.Tensor, ...], decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed BPR loss of triplets of rows of ``scored``, and their summed L2 penalty in ``penalised``."""
    users, positives, negatives = triplets
    margin = (scored[users] * (scored[positives] - scored[negatives])).sum(dim=1)
    touched = penalised[torch.cat(triplets)]
    return torch.nn.functional.softplus(-margin).sum(), decay / 2 * touched.square().sum()
