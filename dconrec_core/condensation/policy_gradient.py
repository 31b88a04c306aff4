"""DConRec: keep-probabilities over a pre-augmented pool, moved by policy gradients (arXiv:2310.01038; docs/method.md).

The defaults depart from the paper where a measurement asked for it: the search starts at the teacher's ranking and not
at a constant; the inner training goes on from a model trained on the current set, so that a loss can be read from it;
masks share their randomness; a candidate answers for its own user's loss; steps are natural-gradient ones. Each
departure is a setting, and ``dconrec-paper`` undoes them all.
"""

from itertools import count
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from dconrec_core.condensation.base import make_condensed
from dconrec_core.condensation.bernoulli import draw_masks, policy_gradient
from dconrec_core.condensation.feasible_set import AdamStep, FeasibleSet, NaturalStep
from dconrec_core.condensation.inner import InnerTraining
from dconrec_core.condensation.proposal import MOST_RULES, Proposal, Rule, Values, climb, proposed_logits
from dconrec_core.condensation.stand_in import StandIn
from dconrec_core.models.bprmf import BPRMFConfig
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import Config, explain
from dconrec_core.rng import numpy_rng
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions

LENGTHS = {"epochs", "patience", "eval_every", "epoch_interactions"}
"""Settings that say how long a training is."""


class DConRecConfig(Config):
    """Settings of ``dconrec``."""

    source_model: ClassVar[str] = "bprmf"
    outer_epochs: int = Field(40, ge=0)
    n_samples: int = Field(4, ge=2)
    """Masks an outer epoch, K."""
    inner_epochs: int = Field(3, ge=1)
    """Epochs of each masked training."""
    start: Literal["proposed", "teacher", "constant"] = "proposed"
    """Keep-probabilities to start from; ``proposed``: the best on valid of the rules that share the teacher's ranking
    out (``proposal.py``), then of a differentiable stand-in's looks (``stand_in.py``)."""
    passes: int = Field(60, ge=0)
    """Most passes of the stand-in over the users, fewer over many users; 0 leaves it out."""
    batch_users: int = Field(1024, ge=1)
    """Most users whom the stand-in sees at once."""
    stand_in_rate: float = Field(0.06, gt=0)
    """Its step size on the logits; as much larger as there are fewer passes."""
    looks: int = Field(4, ge=1)
    """Looks at valid on its way."""
    sharpness: float = Field(4.0, gt=0)
    """How fast the start falls at the edge of a user's number of interactions."""
    step: Literal["natural", "adam"] = "natural"
    """How a gradient becomes a step."""
    learning_rate: float = Field(0.3, gt=0)
    """Step size on the keep-probabilities. Small: larger ones learn the few validation items of each user by heart."""
    decay: Literal["linear", "steps"] = "linear"
    """To 0 over the outer epochs, or divided by 10 every 70 of them down to 1e-4."""
    credit: Literal["user", "global"] = "user"
    """Whose validation loss a candidate answers for: its own user's, or everyone's."""
    baseline: bool = True
    """Leave-one-out baseline of the estimate."""
    min_gain: float = Field(1.0, ge=0)
    """Standard errors, paired over the users of valid, by which a rule has to be better there than the one before, and
    what was found than the teacher's own ranking; otherwise that is kept. Of a dozen looks one is better by chance."""
    tail_threshold: int = Field(10, ge=0)
    """Users with at most so many interactions keep them all; they count inside the budget."""
    warm_epochs: int = Field(30, ge=0)
    """Epochs on the current set that masked trainings go on from; 0 for a fresh model each outer epoch."""
    refresh: int = Field(10, ge=1)
    """Outer epochs between two warm starts; each is also a look at valid, and the best look is kept."""
    valid_negatives: int = Field(8, ge=1)
    """Fixed negatives per validation interaction in the loss."""
    judge: dict[str, Any] = Field(default_factory=dict)
    """Settings of the BPRMF that looks at valid after ``warm_epochs``; what is not given is BPRMF's own default. With
    none at all it has those of the masked trainings, which learn fast; where those learn little, the looks mislead."""

    @field_validator("judge")
    @classmethod
    def _known(cls, judge: dict[str, Any]) -> dict[str, Any]:
        if idle := sorted(LENGTHS & set(judge)):
            raise ValueError(f"{idle[0]} does nothing here: it is trained for warm_epochs")
        try:
            BPRMFConfig.model_validate(judge)
        except ValidationError as error:
            raise ValueError(explain(error, "judge", BPRMFConfig)) from None
        return judge

    @model_validator(mode="after")
    def _proposals_are_told_apart(self) -> Self:
        if self.start == "proposed" and not self.warm_epochs:
            raise ValueError(
                "warm_epochs is 0, so that proposals would be told apart by models that were never trained; "
                "set start to constant or teacher, or raise warm_epochs"
            )
        return self


class DConRecPaperConfig(DConRecConfig):
    """The paper's own settings; what they can and cannot do is in docs/method.md."""

    outer_epochs: int = Field(100, ge=0)
    inner_epochs: int = Field(1, ge=1)
    start: Literal["proposed", "teacher", "constant"] = "constant"
    step: Literal["natural", "adam"] = "adam"
    learning_rate: float = Field(0.1, gt=0)
    decay: Literal["linear", "steps"] = "steps"
    credit: Literal["user", "global"] = "global"
    warm_epochs: int = Field(0, ge=0)


class DConRec:
    """Policy-gradient condensation."""

    name = "dconrec"

    def __init__(self, config: DConRecConfig) -> None:
        self.config = config

    def condense(
        self, pool: CandidatePool, valid: Interactions, budget: Budget, options: RunOptions
    ) -> CondensedDataset:
        """See ``Condenser.condense``. One event an outer epoch: loss, expected size, squared gradient-mapping norm.

        Before that, under labels of their own, one for each rule and each pass of the stand-in that is looked at.

        Raises:
            BudgetError: Users at or below ``tail_threshold`` alone are over the budget.
        """
        config = self.config
        rng = numpy_rng(options.seed, "condense", self.name)
        feasible = FeasibleSet(pool, config.tail_threshold, budget)
        stepper = AdamStep(len(pool)) if config.step == "adam" else NaturalStep()
        judge = BPRMFConfig.model_validate(config.judge) if config.judge else None
        inner = InnerTraining(pool, valid, rng, config.warm_epochs, config.inner_epochs, config.valid_negatives, judge)
        notes: dict[str, Any] = {"source_model": config.source_model}
        plain: Proposal | None = None
        if config.start == "proposed":
            plain, best = self._propose(feasible, inner, rng, options)
            keep_prob, notes = best.keep_prob, notes | best.notes
        else:
            keep_prob = feasible.start(config.start, config.sharpness)
        kept_prob, kept_epoch, kept_look = keep_prob, 0, inner.warm_start(feasible.final_set(keep_prob))
        for epoch in range(1, config.outer_epochs + 1):
            masks = draw_masks(keep_prob, config.n_samples, rng)
            losses = inner.masked_losses(masks)
            credited = losses[:, pool.interactions.users] if config.credit == "user" else inner.overall(losses)
            gradient = policy_gradient(credited, masks, keep_prob, baseline=config.baseline)
            rate = self.learning_rate(epoch)
            moved = feasible.project(keep_prob - rate * stepper.direction(gradient, keep_prob))
            metrics = {
                "valid_loss": float(inner.overall(losses).mean()),
                "expected_size": float(moved.sum()),
                "mapping_norm_sq": float(np.square((keep_prob - moved) / rate).sum()),
            }
            keep_prob = moved
            if epoch % config.refresh == 0 or epoch == config.outer_epochs:
                look = inner.warm_start(feasible.final_set(keep_prob))
                if config.warm_epochs:  # otherwise nothing was trained, and the ranking is a random one
                    metrics["valid_ndcg@10"] = look.ndcg
                if look.ndcg > kept_look.ndcg:
                    kept_prob, kept_epoch, kept_look = keep_prob, epoch, look
            options.on_epoch(EpochEvent(options.label, epoch, config.outer_epochs, metrics))
        if not config.warm_epochs:  # the paper keeps the last
            kept_prob, kept_epoch = keep_prob, config.outer_epochs
        if plain is not None and not kept_look.beats(plain.look, config.min_gain):
            kept_prob, kept_epoch, kept_look, notes = plain.keep_prob, 0, plain.look, notes | plain.notes
        notes["kept_outer_epoch"] = kept_epoch
        if config.warm_epochs:
            notes["valid_ndcg@10"] = kept_look.ndcg
        return make_condensed(
            pool,
            feasible.final_set(kept_prob),
            budget,
            condenser=self.name,
            config=config,
            seed=options.seed,
            keep_prob=kept_prob.astype(np.float32),
            notes=notes,
        )

    def _propose(
        self, feasible: FeasibleSet, inner: InnerTraining, rng: np.random.Generator, options: RunOptions
    ) -> tuple[Proposal, Proposal]:
        """The first rule, and the best start on valid: of the rules, and of the stand-in from there on."""
        config, pool, width = self.config, feasible.pool, 1 / self.config.sharpness

        def proposal(logits: Values, rule: str, kept_pass: int) -> Proposal:
            keep_prob = feasible.at_logits(logits, width)
            look = inner.look(feasible.final_set(keep_prob))
            return Proposal(logits, keep_prob, look, {"rule": rule, "kept_pass": kept_pass})

        def by_rule(rule: Rule) -> Proposal:
            return proposal(proposed_logits(pool, rule, feasible.tail, feasible.left), rule.name, 0)

        numbers = count(1)

        def heard(rule: Rule) -> Proposal:
            found = by_rule(rule)
            metrics = {"valid_ndcg@10": found.look.ndcg}
            options.on_epoch(EpochEvent(f"{options.label}, rules", next(numbers), MOST_RULES, metrics))
            return found

        plain = heard(Rule())
        # Looked at once more: of the best of many looks a part is luck.
        best = by_rule(climb(lambda rule: heard(rule).look, plain.look, config.min_gain))
        rule = best.notes["rule"]
        stand_in = StandIn(
            pool, best.logits, feasible.count, config.passes, config.batch_users, config.stand_in_rate, rng
        )
        every = max(1, stand_in.passes // config.looks)
        for number, loss, moved in stand_in.run():
            if number % every and number < stand_in.passes:
                continue
            candidate = proposal(moved, rule, number)
            best = max(best, candidate, key=lambda one: one.look.ndcg)
            metrics = {"stand_in_loss": loss, "valid_ndcg@10": candidate.look.ndcg}
            options.on_epoch(EpochEvent(f"{options.label}, stand-in", number, stand_in.passes, metrics))
        return plain, best

    def learning_rate(self, epoch: int) -> float:
        """Step size of an outer epoch, counted from 1."""
        if self.config.decay == "linear":
            return self.config.learning_rate * (1 - (epoch - 1) / self.config.outer_epochs)
        return max(float(self.config.learning_rate * 0.1 ** ((epoch - 1) // 70)), 1e-4)


class DConRecPaper(DConRec):
    """The same search with the paper's settings as defaults, kept as a baseline."""

    name = "dconrec-paper"
