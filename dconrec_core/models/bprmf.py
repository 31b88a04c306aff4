"""BPRMF: matrix factorisation trained on the pairwise BPR loss (Rendle et al., UAI 2009, arXiv:1205.2618)."""

import time
from typing import Any

import numpy as np
import torch
from pydantic import Field

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import bpr_epoch
from dconrec_core.models._factors import EmbeddingConfig, FactorScores, Triplets, initial_tables
from dconrec_core.models._history import known_or_popular
from dconrec_core.models._torch import moved_to, products_on
from dconrec_core.models.fold_in import FoldIn
from dconrec_core.options import RunOptions
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.rng import numpy_rng
from dconrec_core.training import History, run_epochs
from dconrec_core.types import Interactions


class BPRMFConfig(EmbeddingConfig):
    """Settings of BPRMF."""

    learning_rate: float = Field(0.1, gt=0)
    """Step size of row-wise Adagrad."""
    weight_decay: float = Field(0.02, ge=0)
    """L2 penalty on the three rows of each step."""
    initial_accumulator: float = Field(1.0, ge=0)
    """What Adagrad's sum of squared gradients starts from. With 0 a row's first step has full length however little
    there is to learn from; with more, rows of few interactions move in proportion to them."""
    batch_size: int = Field(4096, ge=1)
    """Triplets a step on CUDA; on the CPU every triplet is a step of its own."""


class Factors:
    """Embeddings and optimiser state of one BPRMF in training; on the CPU a compiled loop moves them.

    Args:
        train: What is learned from.
        config: Settings.
        rng: Source of the initial values and of the training's randomness.
    """

    def __init__(self, train: Interactions, config: BPRMFConfig, rng: np.random.Generator) -> None:
        self.train, self.config = train, config
        self.users, self.items = initial_tables(train, config, rng)
        first = np.float32(config.initial_accumulator)
        self.user_sum, self.item_sum = np.full(train.n_users, first), np.full(train.n_items, first)
        self.triplets = Triplets(train, rng)

    def epoch(self) -> float:
        """See ``Trainer.epoch``."""
        train, config = self.train, self.config
        return float(
            bpr_epoch(
                self.triplets.order(), train.users, train.items, train.indptr, self.triplets.sketch,
                self.triplets.random, self.users, self.items, self.user_sum, self.item_sum,
                np.float32(config.learning_rate), np.float32(config.weight_decay),
            )
        )  # fmt: skip

    @property
    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now."""
        return known_or_popular(DotProducts(self.users, self.items), self.train)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        return FoldIn.of(self.config, self.train).scores(self.items, histories)

    def weights(self) -> Arrays:
        """Copies of the two tables."""
        return {"users": self.users.copy(), "items": self.items.copy()}

    def restore(self, weights: Arrays) -> None:
        """Put two tables back."""
        self.users, self.items = weights["users"], weights["items"]

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        sums = {"user_sum": self.user_sum, "item_sum": self.item_sum}
        return {"users": self.users, "items": self.items, **sums, "random": self.triplets.random}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        self.restore(state)
        self.user_sum, self.item_sum, self.triplets.random = state["user_sum"], state["item_sum"], state["random"]


class TorchFactors:
    """The same training in batches of torch operations, for CUDA and as the readable oracle of the compiled loop.

    With a batch of one triplet it takes exactly the compiled loop's step; a larger batch sums its triplets' gradients
    per row before the Adagrad step. An epoch is drawn at once and nothing is read back before its end.
    """

    def __init__(
        self, train: Interactions, config: BPRMFConfig, rng: np.random.Generator, device: torch.device
    ) -> None:
        self.train, self.config, self.device = train, config, device
        self.tables = [torch.from_numpy(table).to(device) for table in initial_tables(train, config, rng)]
        first = config.initial_accumulator
        self.sums = [torch.full((len(table),), first, device=device) for table in self.tables]
        self.gradients = [torch.zeros_like(table) for table in self.tables]  # 0 between two steps
        self.triplets = Triplets(train, rng)

    def epoch(self) -> float:
        """See ``Trainer.epoch``."""
        triplets = torch.from_numpy(self.triplets.epoch()).to(self.device).long()
        loss = torch.zeros((), device=self.device)
        for batch in triplets.split(self.config.batch_size, dim=1):
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
        """Step on ``rows``, which may repeat: a repeated row is written several times with the same value.

        So there is no need to know the distinct rows, whose number the host would have to wait for.
        """
        weights, sums, buffer = self.tables[table], self.sums[table], self.gradients[table]
        summed = buffer.index_add_(0, rows, gradients)[rows]
        buffer[rows] = 0
        total = sums[rows] + summed.square().mean(dim=1)
        sums[rows] = total
        weights[rows] = weights[rows] + (self.config.learning_rate / torch.sqrt(total + 1e-8))[:, None] * summed

    @property
    def score(self) -> ScoreFunction:
        """Dot-product scores of the embeddings as they are now, computed on the device."""
        return known_or_popular(products_on(self.device, *self.tables), self.train)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        return moved_to(self.device, FoldIn.of(self.config, self.train).scores(self.tables[1].cpu().numpy(), histories))

    def weights(self) -> Arrays:
        """Copies of the two tables, on the CPU."""
        return {name: table.cpu().numpy().copy() for name, table in zip(("users", "items"), self.tables, strict=True)}

    def restore(self, weights: Arrays) -> None:
        """Put two tables back."""
        self.tables = [torch.from_numpy(weights[name]).to(self.device) for name in ("users", "items")]

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        sums = {f"{name}_sum": table.cpu().numpy() for name, table in zip(("user", "item"), self.sums, strict=True)}
        return {**self.weights(), **sums, "random": self.triplets.random}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        self.restore(state)
        self.sums = [torch.from_numpy(state[f"{name}_sum"]).to(self.device) for name in ("user", "item")]
        self.triplets.random = state["random"]


class BPRMF(FactorScores):
    """Matrix factorisation with the BPR loss."""

    def __init__(self, config: BPRMFConfig) -> None:
        self.config = config

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        begun, rng, device = time.perf_counter(), numpy_rng(options.seed, "bprmf"), resolve_device(options.device)
        trainer = (
            Factors(train, self.config, rng) if device.type == "cpu" else TorchFactors(train, self.config, rng, device)
        )
        history = run_epochs("bprmf", self.config, trainer, valid, options, begun)
        weights = trainer.weights()
        self.keep(weights["users"], weights["items"], train, valid, history)
        return history

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """Weight decay must follow the training set: less where few rows say much, more where they are noise."""
        # Few users, of whom each says much: wide rows in short steps, and many passes between two looks at valid.
        few = {
            "embedding_size": 192, "learning_rate": 0.04, "weight_decay": 0.002, "initial_accumulator": 10.0,
            "epoch_interactions": 20_000, "eval_every": 10, "patience": 20, "epochs": 100,
        }  # fmt: skip
        # A set of a few hundred interactions: what it does not mention says something too.
        tiny = {"weight_decay": 0.005, "whole_catalogue": True}
        # Each user's few of the teacher's: rows that start short and anywhere, at full step from the first triplet on.
        # From the usual start the first looks at such a set cannot be told from standing still, and patience ends.
        short = {
            "start": "gaussian", "init_scale": 0.1, "item_init_scale": 0.1, "initial_accumulator": 0.0,
            "weight_decay": 0.01,
        }  # fmt: skip
        return [{}, tiny, few, short, {"weight_decay": 0.04}, {"weight_decay": 0.01}]
