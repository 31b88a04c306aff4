"""The result table: one row a training set and model, averaged over seeds, with what it costs and what it saves."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

Row = Mapping[str, Any]

LABELS = {
    "full": "Full data",
    "condensed": "Condensed",
    "random": "Random observed",
    "random-pool": "Random from the pool",
    "random-users": "Random users",
    "popularity": "Most popular pairs",
    "teacher-top": "Teacher's best",
    "random-per-user": "Random within users",
    "k-core": "Densest core",
    "pagerank": "Highest PageRank",
    "forgetting": "Most often forgotten",
    "loss": "Ranked worst by a proxy",
    "herding": "Herding",
    "k-centre": "k-centre",
    "gradient-matching": "Gradient matching",
}
MODEL_LABELS = {
    "bprmf": "BPRMF",
    "lightgcn": "LightGCN",
    "ngcf": "NGCF",
    "xsimgcl": "XSimGCL",
    "ease": "EASE",
    "ridge": "Ridge autoencoder",
    "graph-filter": "Graph filter",
    "multvae": "MultVAE",
}
POPULARITY_RANKER = "popularity"
"""The model of the rows that rank by popularity alone: a floor, nothing is trained."""
TIMED_STAGES = ("pretrain", "condense", "evaluate")
"""Those whose seconds the summary is made with."""


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds; no spread from a single one."""

    mean: float
    std: float | None = None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Estimate | None":
        """The estimate from what was measured; None from nothing."""
        known = [value for value in values if value is not None]
        return cls(fmean(known), stdev(known) if len(known) > 1 else None) if known else None


@dataclass(frozen=True)
class Result:
    """One training set and model."""

    training_set: str
    model: str
    n_seeds: int
    n_interactions: int
    ndcg: Estimate | None
    recall: Estimate | None
    quality: Estimate | None  # NDCG@10 over that of the same model on full data
    same_settings: float | None  # the same, with exactly the settings found on full data
    train_seconds: float | None
    speed_up: float | None  # training seconds on full data over those here
    break_even: float | None  # trainings that pay for teacher and condensation; inf where none ever does
    inductive: bool = False  # trained on users of the set's own, real users folded in

    @property
    def label(self) -> str:
        """The training set in words."""
        if self.model == POPULARITY_RANKER:
            return "Popularity ranking"
        return LABELS.get(self.training_set, self.training_set)

    @property
    def kind(self) -> str:
        """How real users come into the model: with an embedding each, or folded in."""
        return "inductive" if self.inductive else "transductive"

    @property
    def model_label(self) -> str:
        """The model as its paper spells it."""
        return MODEL_LABELS.get(self.model, self.model)


def set_labels(results: Iterable[Result]) -> dict[str, str]:
    """The training sets in words for a legend, which has no column to say what is inductive."""
    return LABELS | {one.training_set: f"{one.label}, inductive" for one in results if one.inductive}


def summarise(evaluation: Mapping[str, Any], timings: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    """Average ``results/evaluation.json`` over seeds and join it with the clock.

    Args:
        evaluation: Content of the file.
        timings: Content of ``results/timings/NAME.json`` by name: pretrain, condense, evaluate. What is missing
            (a stage restored from the cache measured nothing) leaves its columns empty.

    Returns:
        Models in the order of the file, the popularity ranking last; within a model full, condensed, then the rest.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in evaluation["rows"]:
        groups.setdefault((row["model"], row["training_set"]), []).append(row)
    models = list(dict.fromkeys(model for model, _ in groups))
    first = ("full", "condensed")

    def place(key: tuple[str, str]) -> tuple[bool, int, int]:
        model, training_set = key
        rank = first.index(training_set) if training_set in first else len(first)
        return model == POPULARITY_RANKER, models.index(model), rank

    return [_result(groups, key, timings) for key in sorted(groups, key=place)]


def _result(
    groups: Mapping[tuple[str, str], list[Row]], key: tuple[str, str], timings: Mapping[str, Mapping[str, Any]]
) -> Result:
    model, training_set = key
    rows = groups[key]
    full = groups.get((model, "full"), [])
    full_ndcg = {row["seed"]: row["ndcg@10"] for row in full}
    same = [
        row["same_settings_ndcg@10"] / full_ndcg[row["seed"]]
        for row in rows
        if model != POPULARITY_RANKER and row.get("same_settings_ndcg@10") is not None and full_ndcg.get(row["seed"])
    ]
    seconds, full_seconds = _train_seconds(timings, *key), _train_seconds(timings, model, "full")
    return Result(
        training_set=training_set,
        model=model,
        n_seeds=len(rows),
        n_interactions=round(fmean(row["n_interactions"] for row in rows)),
        ndcg=Estimate.of(row.get("ndcg@10") for row in rows),
        recall=Estimate.of(row.get("recall@20") for row in rows),
        quality=Estimate.of(row.get("quality") for row in rows),
        same_settings=fmean(same) if same else None,
        train_seconds=seconds,
        speed_up=full_seconds / seconds if full_seconds and seconds else None,
        break_even=_break_even(timings, seconds, full_seconds) if training_set == "condensed" else None,
        inductive=any(row.get("inductive", False) for row in rows),
    )


def _train_seconds(timings: Mapping[str, Mapping[str, Any]], model: str, training_set: str) -> float | None:
    rows = timings.get("evaluate", {}).get("rows", [])
    seconds = [row["train_seconds"] for row in rows if (row["model"], row["training_set"]) == (model, training_set)]
    return fmean(seconds) if seconds else None


def _break_even(
    timings: Mapping[str, Mapping[str, Any]], seconds: float | None, full_seconds: float | None
) -> float | None:
    teacher, condensing = (timings.get(stage, {}).get("stage_seconds") for stage in ("pretrain", "condense"))
    if teacher is None or condensing is None or seconds is None or full_seconds is None:
        return None
    saved = full_seconds - seconds
    return (teacher + condensing) / saved if saved > 0 else math.inf
