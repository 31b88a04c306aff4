"""BPRMF: matrix factorisation trained on the pairwise BPR loss (Rendle et al., UAI 2009, arXiv:1205.2618)."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask, ScoreFunction
from dconrec_core.kernels import bpr_epoch, shuffle
from dconrec_core.models._factors import FactorScores, initial_factors, random_state
from dconrec_core.models.base import EpochConfig
from dconrec_core.options import RunOptions
from dconrec_core.rng import numpy_rng
from dconrec_core.sampling import sample_negatives
from dconrec_core.training import History, run_epochs
from dconrec_core.types import FloatArray, Interactions


class BPRMFConfig(EpochConfig):
    """Settings of BPRMF."""

    embedding_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    """Step size of row-wise Adagrad."""
    weight_decay: float = Field(0.02, ge=0)
    """L2 penalty on the three rows of each step."""
    init_scale: float = Field(0.1, gt=0)
    """Standard deviation of the initial embeddings."""
    batch_size: int = Field(4096, ge=1)
    """Triplets a step on CUDA; on the CPU every triplet is a step of its own."""


class Factors:
    """Embeddings and optimiser state of one BPRMF in training; on the CPU a compiled loop moves them.

    Args:
        train: What is learned from.
        config: Settings.
        rng: Source of the initial values and of the training's randomness.
        start: A training whose embeddings to go on from, with a fresh optimiser. Random ones by default.
    """

    def __init__(
        self, train: Interactions, config: BPRMFConfig, rng: np.random.Generator, start: "Factors | None" = None
    ) -> None:
        self.train, self.config = train, config
        if start is None:
            size, scale = config.embedding_size, config.init_scale
            self.users = initial_factors(rng, train.n_users, size, scale)
            self.items = initial_factors(rng, train.n_items, size, scale)
        else:
            self.users, self.items = start.snapshot()
        self.user_sum, self.item_sum = np.zeros(train.n_users, np.float32), np.zeros(train.n_items, np.float32)
        self.random = random_state(rng)
        self.order = np.arange(len(train), dtype=np.int32)

    def epoch(self) -> float:
        """Visit every interaction once, in a new order; returns the mean loss."""
        train, config = self.train, self.config
        shuffle(self.random, self.order)
        return float(
            bpr_epoch(
                self.order, train.users, train.items, train.indptr, self.random, self.users, self.items, self.user_sum,
                self.item_sum, np.float32(config.learning_rate), np.float32(config.weight_decay),
            )
        )  # fmt: skip

    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now."""
        return lambda users: self.users[users] @ self.items.T

    def snapshot(self) -> tuple[FloatArray, FloatArray]:
        """Copies of the two tables."""
        return self.users.copy(), self.items.copy()

    def restore(self, tables: tuple[FloatArray, FloatArray]) -> None:
        """Put two tables back."""
        self.users, self.items = tables


class TorchFactors:
    """The same training in batches of torch operations, for CUDA and as the readable oracle of the compiled loop.

    With a batch of one triplet it takes exactly the compiled loop's step; a larger batch sums its triplets' gradients
    per row before the Adagrad step.
    """

    def __init__(
        self, train: Interactions, config: BPRMFConfig, rng: np.random.Generator, device: torch.device
    ) -> None:
        self.train, self.config, self.rng, self.device = train, config, rng, device
        sizes = (train.n_users, train.n_items)
        self.tables = [
            torch.from_numpy(initial_factors(rng, n, config.embedding_size, config.init_scale)).to(device)
            for n in sizes
        ]
        self.sums = [torch.zeros(n, device=device) for n in sizes]

    def epoch(self) -> float:
        """Visit every interaction once, in a new order; returns the mean loss."""
        order = self.rng.permutation(len(self.train))
        triplets = np.stack(
            (self.train.users, self.train.items, sample_negatives(self.train, self.train.users, self.rng))
        )
        batches = torch.from_numpy(triplets[:, order].astype(np.int64)).to(self.device)
        loss = torch.zeros((), device=self.device)
        for batch in batches.split(self.config.batch_size, dim=1):
            loss += self.step(*batch)
        return float(loss) / max(len(self.train), 1)

    def step(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """One row-wise Adagrad step on a batch of triplets; returns the sum of their losses before it."""
        user_factors, item_factors = self.tables
        p, q, r = user_factors[users], item_factors[positives], item_factors[negatives]
        margin = (p * (q - r)).sum(dim=1, keepdim=True)
        pull, decay = torch.sigmoid(-margin), self.config.weight_decay
        items = torch.cat((positives, negatives))
        self._ascend(0, users, pull * (q - r) - decay * p)
        self._ascend(1, items, torch.cat((pull * p - decay * q, -pull * p - decay * r)))
        return torch.nn.functional.softplus(-margin).sum()

    def _ascend(self, table: int, rows: torch.Tensor, gradients: torch.Tensor) -> None:
        distinct, place = rows.unique(return_inverse=True)
        summed = torch.zeros(len(distinct), gradients.shape[1], device=self.device).index_add_(0, place, gradients)
        self.sums[table][distinct] += summed.square().mean(dim=1)
        rate = self.config.learning_rate / torch.sqrt(self.sums[table][distinct] + 1e-8)
        self.tables[table][distinct] += rate[:, None] * summed

    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now, computed on the device."""
        users, items = self.tables
        return lambda ids: (users[torch.from_numpy(ids).to(self.device).long()] @ items.T).cpu().numpy()

    def snapshot(self) -> tuple[FloatArray, FloatArray]:
        """Copies of the two tables, on the CPU."""
        users, items = (table.cpu().numpy().copy() for table in self.tables)
        return users, items

    def restore(self, tables: tuple[FloatArray, FloatArray]) -> None:
        """Put two tables back."""
        self.tables = [torch.from_numpy(table).to(self.device) for table in tables]


class BPRMF(FactorScores):
    """Matrix factorisation with the BPR loss."""

    def __init__(self, config: BPRMFConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        rng, device = numpy_rng(options.seed, "bprmf"), resolve_device(options.device)
        trainer = (
            Factors(train, self.config, rng) if device.type == "cpu" else TorchFactors(train, self.config, rng, device)
        )
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
        self.user_factors, self.item_factors = trainer.snapshot()
        return history

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set: less where few rows say much, more where they are noise."""
        return [{}, {"weight_decay": 0.005}, {"weight_decay": 0.04}, {"weight_decay": 0.0025}, {"weight_decay": 0.01}]
