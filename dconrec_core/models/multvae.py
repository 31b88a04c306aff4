"""MultVAE: a variational autoencoder of users' histories (Liang et al., WWW 2018, arXiv:1802.05814). Inductive."""

import math
import time
from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from dconrec_core.checkpoint import Arrays
from dconrec_core.device import mixed_precision, resolve_device
from dconrec_core.evaluation import RankingTask
from dconrec_core.kernels import shuffle
from dconrec_core.models._factors import random_state
from dconrec_core.models._history import HistoryModel, fold_in, history_of, history_state, own_scores
from dconrec_core.models._torch import TorchTraining
from dconrec_core.models.base import EpochConfig, State
from dconrec_core.options import RunOptions
from dconrec_core.ranking import ScoreFunction
from dconrec_core.rng import numpy_rng
from dconrec_core.training import History, run_epochs
from dconrec_core.types import FloatArray, IntArray, Interactions

BLOCK_CELLS = 4_000_000  # of histories that are dense at once when scoring: 16 MB
Network = dict[str, torch.Tensor]
"""The weights by name: ``encode``, ``infer``, ``decode`` and ``output``, each with its ``.bias``."""


class MultVAEConfig(EpochConfig):
    """Settings of MultVAE."""

    hidden_size: int = Field(600, ge=1)
    """Width of the layer between a history and its latent vector, and of the one on the way back."""
    latent_size: int = Field(200, ge=1)
    """Numbers that a history is compressed to."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of a history that a training step hides from the encoder."""
    kl_weight: float = Field(0.2, ge=0)
    """Weight β of the Kullback–Leibler term once it is annealed."""
    annealing_epochs: int = Field(50, ge=0)
    """Passes over the training set over which that weight grows from 0; an epoch may be several, see
    ``epoch_interactions``."""
    learning_rate: float = Field(0.001, gt=0)
    """Step size of Adam."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty on all weights."""
    batch_size: int = Field(100, ge=1)
    """Users a step."""


class Autoencoder(TorchTraining):
    """A MultVAE in training, on either device.

    Args:
        train: What is learned from.
        config: Settings.
        rng: Source of the initial values and of the training's randomness.
        device: Where to train.
    """

    def __init__(
        self, train: Interactions, config: MultVAEConfig, rng: np.random.Generator, device: torch.device
    ) -> None:
        self.train, self.config, self.history = train, config, train.csr()
        self.users = np.flatnonzero(train.user_degree).astype(np.int32)
        self.epochs = 0  # passes so far
        start, random = initial_weights(train.n_items, config, rng), random_state(rng)
        super().__init__(start, config.learning_rate, random, rng, device, config.weight_decay)

    def epoch(self) -> float:
        """One pass over the users who have a history, so every interaction once; see ``Trainer.epoch``."""
        order = self.users.copy()
        shuffle(self.random, order)
        loss = torch.zeros((), device=self.device)
        for start in range(0, len(order), self.config.batch_size):
            loss += self.step(dense_rows(self.history, order[start : start + self.config.batch_size]).to(self.device))
        self.epochs += 1
        return float(loss) / max(len(order), 1)

    def step(self, rows: torch.Tensor) -> torch.Tensor:
        """One Adam step on a batch of histories; returns the sum of their losses before it."""
        loss = self.loss(rows)
        self.optimizer.zero_grad()
        (loss / len(rows)).backward()
        self.optimizer.step()
        return loss.detach()

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Negative evidence lower bound of histories, float ``[B, n_items]``, summed over them."""
        config, network = self.config, self.parameters
        visible = torch.nn.functional.normalize(rows)
        if config.dropout > 0:
            kept = torch.empty_like(rows).bernoulli_(1 - config.dropout, generator=self.generator)
            visible = visible * kept / (1 - config.dropout)
        mean, log_variance = encode(network, visible, self.device)
        noise = torch.randn(mean.shape, generator=self.generator, device=self.device)
        scores = decode(network, mean + noise * torch.exp(log_variance / 2), self.device)
        likelihood = (rows * torch.log_softmax(scores, dim=1)).sum()
        divergence = (torch.exp(log_variance) + mean.square() - 1 - log_variance).sum() / 2
        return self.annealed() * divergence - likelihood

    def annealed(self) -> float:
        """The weight of the Kullback–Leibler term in this pass."""
        config = self.config
        share = self.epochs / config.annealing_epochs if config.annealing_epochs else 1.0
        return config.kl_weight * min(share, 1.0)

    @property
    def score(self) -> ScoreFunction:
        """Scores of the weights as they are now, computed on the device."""
        return own_scores(self.history, self.score_of)

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """See ``Scorer.fold_in``."""
        return fold_in(histories, self.train.item_degree, self.score_of)

    def score_of(self, history: sparse.csr_array) -> ScoreFunction:
        """Scores of the rows of a binary matrix ``[n_users, n_items]``."""
        return lambda users: score(self.parameters, history, users, self.device)

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        return {**super().state(), "epochs": np.array([self.epochs])}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        super().resume(state)
        self.epochs = int(state["epochs"][0])


def initial_weights(n_items: int, config: MultVAEConfig, rng: np.random.Generator) -> Arrays:
    """Glorot's start, biases at 0."""
    hidden, latent = config.hidden_size, config.latent_size
    shapes = {
        "encode": (n_items, hidden), "infer": (hidden, 2 * latent), "decode": (latent, hidden),
        "output": (hidden, n_items),
    }  # fmt: skip
    start: Arrays = {}
    for name, (rows, columns) in shapes.items():
        deviation = np.float32(math.sqrt(2 / (rows + columns)))
        start[name] = rng.standard_normal((rows, columns), dtype=np.float32) * deviation
        start[f"{name}.bias"] = np.zeros(columns, dtype=np.float32)
    return start


def dense_rows(history: sparse.csr_array, users: IntArray) -> torch.Tensor:
    """Histories of ``users`` as 0 and 1, float32 ``[len(users), n_items]``."""
    return torch.from_numpy(history[users].toarray())


def encode(network: Network, rows: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log variance of the latent vectors of scaled histories, ``[B, latent]`` each."""
    with mixed_precision(device):
        hidden = rows @ network["encode"]
    hidden = torch.tanh(hidden.float() + network["encode.bias"])
    mean, log_variance = (hidden @ network["infer"] + network["infer.bias"]).chunk(2, dim=1)
    return mean, log_variance


def decode(network: Network, latent: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Scores of every item, ``[B, n_items]``."""
    hidden = torch.tanh(latent @ network["decode"] + network["decode.bias"])
    with mixed_precision(device):
        scores = hidden @ network["output"]
    return scores.float() + network["output.bias"]


@torch.no_grad()
def score(network: Network, history: sparse.csr_array, users: IntArray, device: torch.device) -> FloatArray:
    """Scores of every item by the mean of the latent vector, without noise: float32 ``[len(users), n_items]``."""
    n_items = history.shape[1]
    scores = np.empty((len(users), n_items), dtype=np.float32)
    block = max(1, BLOCK_CELLS // max(n_items, 1))
    for start in range(0, len(users), block):
        rows = dense_rows(history, users[start : start + block]).to(device)
        mean, _ = encode(network, torch.nn.functional.normalize(rows), device)
        scores[start : start + block] = decode(network, mean, device).cpu().numpy()
    return scores


class MultVAE(HistoryModel[Network]):
    """Scores are decoded from a user's own history."""

    def fit(self, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        """See ``Recommender.fit``."""
        begun, rng, device = time.perf_counter(), numpy_rng(options.seed, "multvae"), resolve_device(options.device)
        trainer = Autoencoder(train, self.config, rng, device)
        history = run_epochs("multvae", self.config, trainer, valid, options, begun)
        self.history = trainer.history
        self.solution = {name: torch.from_numpy(value) for name, value in trainer.weights().items()}
        return history

    def scores_of(self, solution: Network, history: sparse.csr_array) -> ScoreFunction:
        """See ``HistoryModel.scores_of``."""
        return lambda users: score(solution, history, users, torch.device("cpu"))

    def state(self) -> State:
        """The weights and the users' histories."""
        network, history = self._fitted("be saved")
        return {name: value.numpy() for name, value in network.items()} | history_state(history)

    def load_state(self, state: State) -> None:
        """The inverse of ``state``."""
        self.solution = {
            name: torch.from_numpy(np.array(value, dtype=np.float32))
            for name, value in state.items()
            if not name.startswith("history_")
        }
        self.history = history_of(state, len(self.solution["output.bias"]))

    @staticmethod
    def search_space() -> list[dict[str, Any]]:
        """How much the latent vectors are held back; the best weight differs from set to set."""
        return [{}, {"kl_weight": 0.5}, {"kl_weight": 0.05}, {"dropout": 0.7}, {"learning_rate": 0.0005}]
