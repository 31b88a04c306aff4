"""The condensers, by name. A new one is a file here and a line in ``CONDENSERS``; the contract tests pick it up."""

from typing import Any

from dconrec_core.condensation.auto import Auto, AutoConfig
from dconrec_core.condensation.base import Condenser
from dconrec_core.condensation.baselines import (
    BaselineConfig,
    Popularity,
    Random,
    RandomPool,
    RandomUsers,
    TeacherTop,
    TeacherTopConfig,
)
from dconrec_core.condensation.coreset import KCore, PageRank, PageRankConfig, RandomPerUser
from dconrec_core.condensation.geometry import CoveringConfig, Herding, KCentre
from dconrec_core.condensation.gradient_matching import GradientMatching, GradientMatchingConfig
from dconrec_core.condensation.importance import Forgetting, ForgettingConfig, Loss, LossConfig
from dconrec_core.condensation.policy_gradient import DConRec, DConRecConfig, DConRecPaper, DConRecPaperConfig
from dconrec_core.condensation.synthetic_users import (
    PolicySyntheticUsers,
    PolicySyntheticUsersConfig,
    SyntheticUsers,
    SyntheticUsersConfig,
)
from dconrec_core.registry import Entry, lookup

CONDENSERS: dict[str, Entry[Condenser]] = {
    "auto": Entry(AutoConfig, Auto),
    "synthetic-users": Entry(SyntheticUsersConfig, SyntheticUsers),
    "synthetic-users-policy": Entry(PolicySyntheticUsersConfig, PolicySyntheticUsers),
    "dconrec": Entry(DConRecConfig, DConRec),
    "dconrec-paper": Entry(DConRecPaperConfig, DConRecPaper),
    "random": Entry(BaselineConfig, Random),
    "random-pool": Entry(BaselineConfig, RandomPool),
    "random-users": Entry(BaselineConfig, RandomUsers),
    "popularity": Entry(BaselineConfig, Popularity),
    "teacher-top": Entry(TeacherTopConfig, TeacherTop),
    "random-per-user": Entry(BaselineConfig, RandomPerUser),
    "k-core": Entry(BaselineConfig, KCore),
    "pagerank": Entry(PageRankConfig, PageRank),
    "forgetting": Entry(ForgettingConfig, Forgetting),
    "loss": Entry(LossConfig, Loss),
    "herding": Entry(CoveringConfig, Herding),
    "k-centre": Entry(CoveringConfig, KCentre),
    "gradient-matching": Entry(GradientMatchingConfig, GradientMatching),
}

TAIL_RATIO = 0.25
"""Below it a kept tail is more than the budget."""


def usual_settings(condenser: str, ratio: float) -> dict[str, Any]:
    """What departs from a condenser's defaults at ``ratio`` where nobody says: no tail is kept below a quarter."""
    takes = "tail_threshold" in lookup(CONDENSERS, condenser, "condenser").config_class.model_fields
    return {"tail_threshold": 0} if takes and ratio < TAIL_RATIO else {}


def source_model(condenser: str) -> str:
    """What a condenser trains inside to tell what is worth keeping, in ``MODELS``; empty where it trains nothing."""
    return getattr(lookup(CONDENSERS, condenser, "condenser").config_class, "source_model", "")


__all__ = ["CONDENSERS", "Condenser", "source_model", "usual_settings"]
