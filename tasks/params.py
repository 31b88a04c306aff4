"""``params.yaml`` as types. A stage is handed only the sections it uses; ``dvc.yaml`` names the same ones."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dconrec_core.options import Device
from dconrec_core.registry import Config


class Component(Config):
    """Something chosen from a registry by name, with its own settings."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class ChecksParams(Config):
    """What raw data must satisfy beyond the dataset's own facts."""

    max_quarantined: float = Field(0.05, ge=0, le=1)
    """Largest share of rows that may be set aside before the pipeline stops."""
    min_rows: int = Field(100, ge=1)
    """Fewest rows that are worth a pipeline."""


class PrepareParams(Config):
    """From ratings to implicit interactions."""

    threshold: float | None = None
    """Ratings at or above it count as interactions; without one, every row does."""
    k_core: int = Field(0, ge=0)
    """Users and items with fewer interactions are dropped until none is left."""


class SplitParams(Config):
    """Per-user split."""

    strategy: Literal["random", "temporal", "given"] = "random"
    valid: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_a_training_part(self) -> Self:
        # As dconrec_core.splitting asks later; a given split has a test part of its own and reads valid alone.
        if self.strategy != "given" and self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} + test {self.test} leave nothing to train on; keep their sum below 1")
        return self


class AugmentParams(Config):
    """Pre-augmentation: how many of the teacher's best unseen items each user gets."""

    pseudo_ratio: float = Field(0.3, ge=0)
    min_pseudo: int = Field(20, ge=0)


class CondenseParams(Component):
    """Which condenser, under which budget."""

    ratio: float
    """|C| / |T|, strictly; checked where the budget is made, so that the message can name the counts."""
    start: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of an earlier set in ``data/champions`` to go on from; None to start anew."""


class EvaluateParams(Config):
    """Which models are trained on which sets, side by side."""

    models: dict[str, dict[str, Any]]
    """Downstream models by name, with settings that depart from their defaults."""
    baselines: list[str]
    """Condensers to compare with, at the same budget; for an inductive set ``random`` brings ``random-users`` along."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    """Seeds of the downstream trainings, each once: the same training twice would pass for a spread of none."""
    trials: int = Field(1, ge=1)
    """Settings tried on valid, the same number for every training set."""
    trials_by_model: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """The same for single models, in place of ``trials``."""
    fold_in: bool = False
    """Whether real users are folded in from their whole training histories also where a set holds rows of theirs."""
    curve_ratios: list[float] = Field(default_factory=list)
    """Ratios of the quality-against-ratio curve; empty for none."""

    def trials_of(self, model: str) -> int:
        """Size of a model's search."""
        return self.trials_by_model.get(model, self.trials)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a seed that is named twice is one training, not two; name each once")
        return value


class GateParams(Config):
    """What a condensed dataset must reach to become champion; every rule must hold."""

    min_quality: float = Field(0.9, ge=0)
    """Smallest NDCG@10 as a share of the same model on full data, every downstream model."""
    above_baselines: bool = True
    """Whether it must beat every random baseline at the same budget."""
    max_loss: float = Field(0.01, ge=0, le=1)
    """Largest share of the champion's NDCG@10 on the current valid that may be lost."""
    max_tail_loss: float = Field(0.03, ge=0, le=1)
    """The same for the users with the fewest training interactions."""
    max_new_loss: float = Field(0.03, ge=0, le=1)
    """The same for the users whose first interaction came with the latest increment."""
    tail_share: float = Field(0.2, gt=0, le=1)
    """Share of the users who are those with the fewest training interactions."""
    min_users: int = Field(20, ge=1)
    """Of a group of fewer, neither rule says anything."""


class RegistrationParams(Config):
    """Where the result is remembered."""

    experiment: str = Field("dconrec", min_length=1)
    name: str | None = None
    """Registered model; ``<dataset>-condensed`` by default, of a file of the user's own ``<file>-condensed``."""
    approval: bool = False
    """Whether a set that passes the gate waits for a person, as ``challenger``."""
    gate: GateParams = Field(default_factory=GateParams)

    @field_validator("name")
    @classmethod
    def _taken_by_mlflow(cls, value: str | None) -> str | None:
        # MLflow itself says so when the set is registered, after hours of work.
        if value and (value.isspace() or value == "." or value.startswith("..") or set(value) & set("/:")):
            raise ValueError("MLflow takes no blank name, no '/' or ':' in one, and none that is . or begins with ..")
        if value and {"'", '"'} <= set(value):
            raise ValueError("MLflow finds no name that holds both ' and \"; leave one of them out")
        return value


class RefreshParams(Config):
    """What an increment may look like beside what is there; the flow ``nightly`` reads it, no stage does."""

    min_rows: int = Field(1, ge=1)
    """Fewest rows."""
    max_growth: float = Field(0.2, gt=0)
    """Most rows, as a share of those before."""
    max_new_users: float = Field(0.5, ge=0, le=1)
    """Largest share of its users who are new."""
    max_new_items: float = Field(0.3, ge=0, le=1)
    """Largest share of its items that are new."""
    max_popularity_shift: float = Field(0.5, ge=0)
    """Largest population stability index of its rows over groups of items by popularity."""
    max_rating_shift: float = Field(0.25, ge=0)
    """Largest population stability index of its ratings."""
    warm: bool = True
    """Whether condensing goes on from the champion."""


class SelectParams(Config):
    """Configurations that the flow ``selection`` ranks on the condensed set and on full data; no stage uses them."""

    grid: dict[str, dict[str, list[Any]]] | None = None
    """Model → setting → values, all combinations of which are trained; None for ``dconrec_core.selection.GRID``."""
    shortlist: Annotated[int, Field(ge=1, strict=True)] | None = None
    """How many of the condensed side's first are trained on full data, too; the best there is what to take. None
    for all, which tells what a choice on the condensed set is worth."""
    seed: int = Field(0, ge=0)
    """Of the trainings."""
    experiment: str = Field("dconrec-selection", min_length=1)
    """MLflow experiment."""


class CompareParams(Config):
    """Settings in comparisons (flow ``compare``, benchmarks) that depart from the pipeline's; no stage uses it."""

    condensers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of condensers, in place of ``condense.config``; others than ``condense.name`` have their defaults."""
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of models, in place of those that ``evaluate.models`` gives; what is in neither has its defaults."""


OF_NO_STAGE = ("device", "select", "compare", "refresh")
"""Sections that say how to run, and those of flows of their own."""


class PipelineParams(Config):
    """The whole of ``params.yaml``."""

    seed: int = Field(0, ge=0)
    device: Device = "auto"
    dataset: Component
    checks: ChecksParams = Field(default_factory=ChecksParams)
    prepare: PrepareParams = Field(default_factory=PrepareParams)
    split: SplitParams = Field(default_factory=SplitParams)
    teacher: Component
    augment: AugmentParams = Field(default_factory=AugmentParams)
    condense: CondenseParams
    evaluate: EvaluateParams
    registration: RegistrationParams = Field(default_factory=RegistrationParams)
    select: SelectParams = Field(default_factory=SelectParams)
    compare: CompareParams = Field(default_factory=CompareParams)
    refresh: RefreshParams = Field(default_factory=RefreshParams)

    @field_validator("device", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value
