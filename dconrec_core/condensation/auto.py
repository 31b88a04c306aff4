"""``auto``: several condensers on the same budget, judged by what a recommender trained on each is worth on valid."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from dconrec_core.condensation.base import Condenser
from dconrec_core.condensation.baselines import TeacherTop, TeacherTopConfig
from dconrec_core.condensation.policy_gradient import DConRec, DConRecConfig
from dconrec_core.condensation.synthetic_users import SyntheticUsers, SyntheticUsersConfig, default_n_users
from dconrec_core.errors import BudgetError, DConRecError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.inductive import over_mentioned_items
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import Config, Entry, name_of
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions

ENTRANTS: dict[str, Entry[Condenser]] = {
    "synthetic-users": Entry(SyntheticUsersConfig, SyntheticUsers),
    "teacher-top": Entry(TeacherTopConfig, TeacherTop),
    "dconrec": Entry(DConRecConfig, DConRec),
}
SHARES = (0.0, 0.5, None)
"""Observed shares of ``teacher-top`` that are tried; None leaves it to the teacher."""
SIZES = (0.6, 1.6)
"""Numbers of made-up users that are tried, as multiples of the default one."""
MOST = 2 + len(SHARES) + len(SIZES)
"""Entrants there can be."""


class AutoConfig(Config):
    """Settings of ``auto``."""

    judge: Annotated[str, AfterValidator(name_of(MODELS))] = "bprmf"
    """The model that is trained on each set, with its defaults; a name of ``MODELS``."""
    time_limit: float | None = Field(900.0, gt=0)
    """Seconds after which nothing more is tried; None for no limit.
    The same seed gives the same set as long as it does not cut in."""
    steps: int | None = Field(None, ge=1)
    """Steps of ``synthetic-users``; its own default where not given."""


@dataclass(frozen=True)
class Entrant:
    """A condenser with settings that depart from its defaults."""

    condenser: str
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{self.condenser} ({settings})" if settings else self.condenser


@dataclass(frozen=True)
class Judged:
    """An entrant's set and what the judge makes of it on valid."""

    entrant: Entrant
    condensed: CondensedDataset
    quality: float


class Contest:
    """Entrants for one budget, tried one after the other until time is up.

    Args:
        config: The judge, the time limit.
        pool: As for every condenser, like the next three.
        valid: What the judge is validated on.
        budget: Of every set.
        options: Seed, device, listener.
    """

    def __init__(
        self, config: AutoConfig, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> None:
        self.config, self.pool, self.valid, self.budget, self.options = config, pool, valid, budget, options
        self.n_real = int((pool.train.user_degree > 0).sum())
        self.deadline = math.inf if config.time_limit is None else time.perf_counter() + config.time_limit
        self.judged: list[Judged] = []
        self.refused: list[str] = []
        self.refusal: type[DConRecError] = BudgetError  # of the last that was refused
        self.not_tried: list[str] = []

    @property
    def best(self) -> Judged:
        """The best so far; of equals the first."""
        return max(self.judged, key=lambda one: one.quality)

    def first_round(self) -> list[Entrant]:
        """What is worth trying under this budget, the likeliest first.

        Below one interaction per real user, rows of real users cannot serve a model that has an embedding for each.
        """
        synthetic = [Entrant("synthetic-users", self._steps())]
        if self.budget.n_interactions < self.n_real:
            return synthetic
        mixes = [Entrant("teacher-top", {} if share is None else {"observed_share": share}) for share in SHARES]
        return [*synthetic, *mixes, Entrant("dconrec", {"tail_threshold": 0})]

    def second_round(self) -> list[Entrant]:
        """Around the best of the first: fewer and more made-up users."""
        if self.best.entrant.condenser != "synthetic-users":
            return []
        usual = default_n_users(self.budget, self.n_real)
        most = min(self.budget.n_interactions, self.n_real)
        sizes = {min(most, max(1, int(usual * factor))) for factor in SIZES} - {usual}
        return [Entrant("synthetic-users", {**self._steps(), "n_users": size}) for size in sorted(sizes)]

    def hold(self, entrants: list[Entrant]) -> None:
        """Condense by each and judge it. The first of all is tried whatever time there is.

        One that refuses the budget, or in which a training goes wrong, takes nothing from the others.
        """
        for entrant in entrants:
            if self.judged and time.perf_counter() > self.deadline:
                self.not_tried.append(str(entrant))
                continue
            try:
                self.judged.append(self._judge(entrant))
            except (BudgetError, TrainingError) as error:
                self.refused.append(f"{entrant}: {error}")
                self.refusal = type(error)
                continue
            tried, quality = len(self.judged), self.judged[-1].quality
            self.options.on_epoch(EpochEvent(self.options.label, tried, MOST, {"valid_ndcg@10": quality}))

    def _judge(self, entrant: Entrant) -> Judged:
        entry, quiet = ENTRANTS[entrant.condenser], RunOptions(self.options.seed, self.options.device)
        condenser = entry.build(entry.configure("condense.config", entrant.settings))
        condensed = condenser.condense(self.pool, self.valid, self.budget, quiet)
        judge = MODELS[self.config.judge]
        task = RankingTask.valid(self.pool.train, self.valid, condensed.inductive)
        model = over_mentioned_items(judge.build(judge.config_class()), condensed.inductive)
        history = model.fit(condensed.interactions, task, quiet)
        return Judged(entrant, condensed, history.best_valid)

    def _steps(self) -> dict[str, Any]:
        return {} if self.config.steps is None else {"steps": self.config.steps}

    def notes(self) -> dict[str, Any]:
        """What was chosen, why, and what else was tried: for the card."""
        best, judge = self.best, self.config.judge
        others = [one for one in self.judged if one.entrant.condenser != best.entrant.condenser]
        why = f"with {judge} trained on it, {best.entrant} has the best NDCG@10 on valid: {best.quality:.4f}"
        if others:
            second = max(others, key=lambda one: one.quality)
            why += f"; {second.entrant} has {second.quality:.4f}"
        elif self.budget.n_interactions < self.n_real:
            why += f"; {self.budget.n_interactions} interactions cannot serve {self.n_real} real users' own rows"
        notes: dict[str, Any] = {
            "chosen": best.entrant.condenser,
            "chosen_settings": dict(best.entrant.settings),
            "why": why,
            "tried": {str(one.entrant): round(one.quality, 4) for one in self.judged},
        }
        if self.refused:
            notes["refused"] = self.refused
        if self.not_tried:
            notes["not_tried"] = f"{', '.join(self.not_tried)}: the time limit of {self.config.time_limit:g} s was over"
        return {**best.condensed.notes, **notes}


class Auto:
    """Tries, compares, takes the best and says why."""

    name = "auto"

    def __init__(self, config: AutoConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``. One event an entrant, with the judge's NDCG@10 on valid.

        Raises:
            BudgetError: Every entrant fails, the last because it refuses the budget.
            TrainingError: Every entrant fails, the last because of a training.
        """
        contest = Contest(self.config, pool, valid, budget, options)
        contest.hold(contest.first_round())
        if not contest.judged:
            raise contest.refusal("; ".join(contest.refused))
        contest.hold(contest.second_round())
        return replace(
            contest.best.condensed, condenser=self.name, config=self.config.model_dump(), notes=contest.notes()
        )
