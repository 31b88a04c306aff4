"""``synthetic-users``: discrete histories of a few made-up users that a recommender learns as much from as from all.

The idea of a small set of users of its own is Distill-CF's (Sachdeva et al., NeurIPS 2022, arXiv:2206.02626). Here the
set is discrete throughout, and whenever it is looked at within a strict budget of interactions, which the first steps
may be over by logits that tie; the inner problem has a closed form (``Reader``); the outer loss asks it to rank, for
real users, what their teacher would and what of their own history is hidden.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from dconrec_core.condensation.base import make_synthetic
from dconrec_core.condensation.clusters import starting_logits
from dconrec_core.condensation.compiled_reader import reader_on
from dconrec_core.condensation.descent import Adam, Descent
from dconrec_core.condensation.histories import Histories, Lesson, worth_mentioning
from dconrec_core.condensation.reader import Reader
from dconrec_core.condensation.relaxation import discrete, hard_threshold, relaxed, window
from dconrec_core.device import resolve_device
from dconrec_core.errors import BudgetError, ConfigError
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import DotProducts
from dconrec_core.registry import Config
from dconrec_core.rng import numpy_rng, torch_rng
from dconrec_core.training import CRITERION
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, FloatArray, IntArray, Interactions

LEAST_ITEMS, MOST_ITEMS = 500, 8_000
"""Mentioned by default. Of Gowalla's 41,000 items the 8,000 most popular keep 99.6 % of NDCG@10."""
LEAST_BATCH = 128
FEW_INTERACTIONS = 5_000
"""Budgets up to here are descended to in gentler steps; see ``default_descent``."""
USERS_PER_ROOT = 2.2
"""Made-up users per square root of the budget: as the budget grows, their number and their histories grow alike."""


def default_n_users(budget: Budget, n_real: int) -> int:
    """How many users to make up where nobody says, at most as many as there are real ones with a history."""
    return max(1, min(int(USERS_PER_ROOT * math.sqrt(budget.n_interactions)), budget.n_interactions, n_real))


def default_starts(budget: Budget) -> int:
    """How many searches where nobody says."""
    return min(5, max(1, 2_000 // budget.n_interactions))


def default_n_items(budget: Budget) -> int:
    """How many items the set may mention where nobody says."""
    return min(MOST_ITEMS, max(LEAST_ITEMS, int(0.45 * budget.n_interactions)))


def default_batch_size(n_made_up: int, n_real: int) -> int:
    """Enough that 600 steps see each of ``n_real`` users eight times, also where the set is small beside them."""
    return max(LEAST_BATCH, n_made_up, n_real // 75)


def default_descent(budget: int) -> tuple[float, float]:
    """Learning rate and adaptivity where nobody says. Of a few interactions each has to matter (docs/method.md)."""
    return (0.04, 0.5) if budget <= FEW_INTERACTIONS else (0.06, 1.0)


class SyntheticUsersConfig(Config):
    """Settings of ``synthetic-users``."""

    source_model: ClassVar[str] = "ridge"
    n_users: int | None = Field(None, ge=1)
    """Made-up users; by default 2.2 times the square root of the budget."""
    n_items: int | None = Field(None, ge=1)
    """Items the set may mention; by default 45 per 100 interactions of the budget, within 500 and 8,000."""
    steps: int = Field(600, ge=1)
    """Steps of the search."""
    batch_size: int | None = Field(None, ge=1)
    """Real users a step; by default as many as made-up ones, at least 128 and one in 75 of all."""
    learning_rate: float | None = Field(None, gt=0)
    """Step size on the logits, falling to 0 by a cosine; by default 0.04, and 0.06 for more than 5,000 interactions."""
    adaptivity: float | None = Field(None, ge=0, le=1)
    """How much a logit's step is scaled by its own gradients: 1 is Adam, 0 scales all alike; by default 0.5, and 1 for
    more than 5,000 interactions."""
    reader_rate: float = Field(0.003, gt=0)
    """Step size of Adam on the reader's numbers."""
    spread: float = Field(1.0, gt=0)
    """Width around the threshold within which logits are moved."""
    averaging: float = Field(0.95, ge=0, lt=1)
    """Of the running mean of the logits that the final set is cut from."""
    hidden: float = Field(0.4, ge=0, le=1)
    """Largest share of a real history that a step hides."""
    hidden_weight: float = Field(0.5, ge=0, le=1)
    """Weight of what was hidden; the teacher's unseen items have the rest."""
    n_targets: int = Field(20, ge=1)
    """The teacher's unseen items per user that count."""
    rank_scale: float = Field(2.0, gt=0)
    """Ranks over which the weight of the teacher's items falls by e."""
    rank: int = Field(64, ge=1)
    """Singular vectors in which users are grouped for the start."""
    looks: int = Field(6, ge=1)
    """Looks at valid, of which the best is kept."""
    starts: int | None = Field(None, ge=1)
    """Searches, each from a start of its own, of which the best on valid is kept; by default as many as the budget fits
    into 2,000 interactions, within 1 and 5: the smaller the set, the more is chance, and the less a search costs."""


class PolicySyntheticUsersConfig(SyntheticUsersConfig):
    """Settings of ``synthetic-users-policy``."""

    n_samples: int = Field(4, ge=2)
    """Drawn sets a step."""
    start_temperature: float = Field(1.0, gt=0)
    """How far from discrete the keep-probabilities of the first steps are."""
    end_temperature: float = Field(0.05, gt=0)
    """How near the last ones come to it."""


@dataclass
class Snapshot:
    """A discrete set on the way and what it is worth on valid."""

    step: int
    quality: float
    histories: torch.Tensor  # [m, n], 0 or 1
    probability: torch.Tensor  # [m, n]
    reader: dict[str, float]


class Search:
    """The logits, the reader and their optimisers.

    Args:
        logits: Where to start, ``[m, n]``.
        budget: Interactions of the set.
        config: Settings.
    """

    def __init__(self, logits: torch.Tensor, budget: int, config: SyntheticUsersConfig) -> None:
        self.logits, self.budget, self.config = logits, budget, config
        learning_rate, adaptivity = default_descent(budget)
        self.learning_rate = learning_rate if config.learning_rate is None else config.learning_rate
        adaptivity = adaptivity if config.adaptivity is None else config.adaptivity
        self.descent = Descent(logits, config.averaging, adaptivity)
        self.use(reader_on(len(logits), logits.device))

    def use(self, reader: Reader) -> None:
        """Read by ``reader`` from here on."""
        self.reader = reader
        self.reader_steps = Adam(reader.parameters.values(), self.config.reader_rate)

    def step(self, number: int, lesson: Lesson) -> float:
        """Move everything by one batch; returns its loss before that."""
        self.reader_steps.zero_grad()
        loss, gradient = self.gradient(number, lesson)
        self.reader_steps.step()
        progress = (number - 1) / self.config.steps
        self.descent.step(number, gradient, self.learning_rate * (1 + math.cos(math.pi * progress)) / 2)
        return loss

    def gradient(self, number: int, lesson: Lesson) -> tuple[float, torch.Tensor]:
        """Loss, and its derivative by the logits: that by the discrete set, passed through near the threshold.

        Args:
            number: Of the step, from 1.
            lesson: The batch.
        """
        threshold = hard_threshold(self.logits, self.budget)
        histories = (self.logits >= threshold).to(self.logits.dtype).requires_grad_(True)
        cost = self._loss(histories, lesson)
        cost.backward()
        assert histories.grad is not None
        return float(cost.detach()), histories.grad * window(self.logits, threshold, self.config.spread)

    def _loss(self, histories: torch.Tensor, lesson: Lesson) -> torch.Tensor:
        return lesson.loss(self.reader.logits(histories, lesson.shown))


class PolicySearch(Search):
    """The same by the score function on drawn discrete sets: nothing is differentiated through the inner solution.

    Args:
        logits: Where to start, ``[m, n]``.
        budget: Interactions that a drawn set has in the mean.
        config: Settings.
        generator: Of the draws.
    """

    config: PolicySyntheticUsersConfig

    def __init__(
        self, logits: torch.Tensor, budget: int, config: PolicySyntheticUsersConfig, generator: torch.Generator
    ) -> None:
        super().__init__(logits, budget, config)
        self.generator, self.threshold = generator, 0.0

    def gradient(self, number: int, lesson: Lesson) -> tuple[float, torch.Tensor]:
        """Mean loss of the drawn sets, and their score-function estimate with the leave-one-out baseline.

        Its mean is the derivative of the expected loss by the logits. Probabilities are σ((ℓ − t) / τ), of which the
        threshold t keeps the sum at the budget: what lifts one logit lifts t, which lowers all.
        """
        config = self.config
        falls = config.end_temperature / config.start_temperature
        temperature = config.start_temperature * falls ** (number / config.steps)
        probability, self.threshold = relaxed(self.logits, self.budget, temperature, self.threshold)
        chances = probability.cpu()  # where the generator draws
        draws = (torch.bernoulli(chances, generator=self.generator) for _ in range(config.n_samples))
        drawn = [draw.to(probability.device) for draw in draws]
        losses = []
        for histories in drawn:
            cost = self._loss(histories, lesson)
            cost.backward()  # for the reader's numbers alone: the sets are constants here
            losses.append(float(cost.detach()))
        mean, estimate = sum(losses) / len(drawn), torch.zeros_like(probability)
        for loss, histories in zip(losses, drawn, strict=True):
            estimate += (loss - mean) / (len(drawn) - 1) * (histories - probability)
        width = probability * (1 - probability)
        estimate -= width * (estimate.sum() / width.sum().clamp(min=torch.finfo(width.dtype).tiny))
        return mean, estimate / temperature


class SyntheticUsers:
    """Condensation into histories of made-up users."""

    name = "synthetic-users"

    def __init__(self, config: SyntheticUsersConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``. One event a look: step, loss, NDCG@10 on valid.

        Raises:
            BudgetError: It is smaller than one interaction per made-up user.
            ConfigError: There are fewer real users with a history than made-up ones.
        """
        config, items = self.config, self.mentionable(pool, budget)
        device = resolve_device(options.device)
        histories = Histories(pool, items, config.n_targets, config.rank_scale, device)
        n_users = self.n_made_up(budget, len(histories.users))
        exam = RankingTask.valid(pool.train, valid).among(items)  # a whole catalogue would cost many times as much
        count = min(budget.n_interactions, n_users * len(items))
        n_starts = config.starts or default_starts(budget)
        found = (self._from_start((k, n_starts), histories, exam, (n_users, count), options) for k in range(n_starts))
        best = max(found, key=lambda look: look.quality)
        rows, columns = np.nonzero(best.histories.cpu().numpy())
        users, renumbered = np.unique(rows, return_inverse=True)
        made_up = Interactions.of(renumbered, items[columns], len(users), pool.interactions.n_items)
        return make_synthetic(
            made_up,
            pool.train,
            budget,
            condenser=self.name,
            config=config,
            seed=options.seed,
            keep_prob=best.probability.cpu().numpy()[rows, columns],
            notes={"valid_ndcg@10": best.quality, "kept_step": best.step, "reader": best.reader},
        )

    def mentionable(self, pool: CandidatePool, budget: Budget) -> IntArray:
        """The items that the set may mention, increasing ids."""
        config = self.config
        n_items = config.n_items or default_n_items(budget)
        return worth_mentioning(pool, n_items, config.n_targets, config.rank_scale)

    def _from_start(
        self,
        which: tuple[int, int],
        histories: Histories,
        exam: RankingTask,
        size: tuple[int, int],
        options: RunOptions,
    ) -> Snapshot:
        """One search, with clusters of its own and users in an order of its own.

        Args:
            which: Its number, from 0, and how many searches there are.
            histories: Real users.
            exam: The look at valid.
            size: Made-up users and interactions.
            options: Seed, device, listener.
        """
        stream: tuple[str | int, ...] = ("condense", self.name)
        if which[0]:  # the first is what it would be alone
            stream = (*stream, which[0])
        rng, device = numpy_rng(options.seed, *stream), resolve_device(options.device)
        start = self.start(histories, size, rng)
        search = self._begin(torch.from_numpy(start).to(device), size[1], torch_rng(options.seed, *stream))
        self.prepare_reader(search.reader)
        return self._search(search, which, histories, exam, options, rng)

    def start(self, histories: Histories, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
        """Logits of the first step, one row a made-up user, for a set of ``size`` (users, interactions)."""
        return starting_logits(histories.seen, histories.users, histories.n_items, size[0], self.config.rank, rng)

    def prepare_reader(self, reader: Reader) -> None:
        """Set the reader's first numbers; its own are where a search starts that knows no earlier one."""

    def _begin(self, logits: torch.Tensor, budget: int, generator: torch.Generator) -> Search:
        return Search(logits, budget, self.config)

    def n_made_up(self, budget: Budget, n_real: int) -> int:
        """Made-up users under ``budget``, of ``n_real`` real ones with a history."""
        wanted = self.config.n_users
        if wanted is None:
            return default_n_users(budget, n_real)
        if wanted > budget.n_interactions:
            raise BudgetError(
                f"condense.config.n_users is {wanted}, the budget {budget.n_interactions} interactions: less than one "
                "each; lower n_users or raise condense.ratio"
            )
        if wanted > n_real:
            raise ConfigError(
                f"condense.config.n_users is {wanted}, but only {n_real} real users have a history; lower n_users"
            )
        return wanted

    def _search(
        self,
        search: Search,
        which: tuple[int, int],
        histories: Histories,
        exam: RankingTask,
        options: RunOptions,
        rng: np.random.Generator,
    ) -> Snapshot:
        config, best, losses = self.config, None, []
        before, total = (count * config.steps for count in which)
        order, position = rng.permutation(histories.users), 0
        size = config.batch_size or default_batch_size(len(search.logits), len(order))
        size = min(size, len(order))
        every = max(1, config.steps // config.looks)
        for number in range(1, config.steps + 1):
            if position + size > len(order):
                order, position = rng.permutation(histories.users), 0
            batch = order[position : position + size]
            position += size
            lesson = histories.lesson(batch, config.hidden, config.hidden_weight, rng)
            losses.append(search.step(number, lesson))
            if number % every == 0 or number == config.steps:
                look = self._look(search, before + number, exam)
                if best is None or look.quality > best.quality or not len(exam.users):  # nothing says which is better
                    best = look
                metrics = {"loss": float(np.mean(losses)), "valid_ndcg@10": look.quality}
                options.on_epoch(EpochEvent(options.label, before + number, total, metrics))
                losses = []
        assert best is not None
        return best

    @torch.no_grad()
    def _look(self, search: Search, number: int, exam: RankingTask) -> Snapshot:
        """Cut the set from the running mean and rank valid by the reader."""
        histories = discrete(search.descent.mean, search.budget)
        probability = torch.sigmoid(
            (search.descent.mean - hard_threshold(search.descent.mean, search.budget)) / self.config.spread
        )
        inputs, outputs = (table.cpu().numpy() for table in search.reader.tables(histories))
        users = np.ascontiguousarray(exam.seen.csr() @ inputs.T, dtype=np.float32)
        score = DotProducts(users, np.ascontiguousarray(outputs.T))
        return Snapshot(number, exam.measure(score, (10,))[CRITERION], histories, probability, search.reader.settings())


class PolicySyntheticUsers(SyntheticUsers):
    """The same search with a policy gradient, measured beside it."""

    name = "synthetic-users-policy"
    config: PolicySyntheticUsersConfig

    def _begin(self, logits: torch.Tensor, budget: int, generator: torch.Generator) -> Search:
        return PolicySearch(logits, budget, self.config, generator)
