"""Train one model on several sets side by side, every side tuned on valid by the same search (docs/evaluation.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dconrec_core.evaluation import CUTOFFS, RankingTask
from dconrec_core.models import MODELS, Recommender
from dconrec_core.models.inductive import over_mentioned_items
from dconrec_core.options import Device, RunOptions
from dconrec_core.registry import lookup
from dconrec_core.training import History
from dconrec_core.types import Interactions, Split


@dataclass(frozen=True)
class Trained:
    """The best of a search on valid, and its figures on test.

    Attributes:
        config: The chosen settings.
        history: Its training.
        metrics: Its test metrics.
        same_settings: Test metrics of the trial with the reference's settings; ``metrics`` without a reference.
        tuning_seconds: Wall time of the whole search.
    """

    config: Mapping[str, Any]
    history: History
    metrics: Mapping[str, float]
    same_settings: Mapping[str, float]
    tuning_seconds: float


def train_and_measure(
    model: str,
    settings: Mapping[str, Any],
    train: Interactions,
    split: Split,
    trials: int,
    options: RunOptions,
    reference: Trained | None = None,
    inductive: bool = False,
) -> Trained:
    """Fit ``model`` with each of the first ``trials`` settings, keep the best on valid and measure that one on test.

    Test is read once a reported figure. Masks come from the split, whatever the model was trained on.

    Args:
        model: Name in ``MODELS``.
        settings: What departs from the model's defaults, in every trial.
        train: The training set: the split's own, or a condensed one over the same catalogue; where ``inductive``, over
            the same items, with users of its own.
        split: Where valid and test come from.
        trials: Size of the search.
        options: Seed, device, label, listener.
        reference: The same search on full data: the trial with its settings is measured too.
        inductive: Whether real users are folded in from their training histories, on valid and on test.
    """
    candidates = search(model, settings, trials)
    return train_best(model, candidates, train, split, options, reference, inductive, where=f"evaluate.models.{model}")


def search(
    model: str, settings: Mapping[str, Any], trials: int, where: str = "evaluate.models"
) -> list[dict[str, Any]]:
    """The first ``trials`` settings of a model's search: its own steps, on top of those configured.

    Raises:
        ConfigError: There is no such model, or a setting is unknown, wrong, or at odds with a step of the search.
    """
    entry = lookup(MODELS, model, where)
    steps = entry.build(entry.config_class()).search_space()[:trials]
    candidates = [{**settings, **step} for step in steps]
    for number, (step, candidate) in enumerate(zip(steps, candidates, strict=True), start=1):
        changes = ", ".join(f"{name}: {value}" for name, value in step.items())
        trial = f" with trial {number} of its search ({changes})" if step else ""
        entry.configure(f"{where}.{model}{trial}", candidate)
    return candidates


@cache
def warm_up(model: str, inductive: bool, device: Device) -> None:
    """Load, and on a new machine compile, what a model needs, so that no training is charged for being the first.

    Args:
        model: Name in ``MODELS``.
        inductive: Whether users will be folded in.
        device: Where it will be trained.
    """
    entry, pairs = MODELS[model], np.arange(12)
    train, valid = (Interactions.of(pairs, (pairs + shift) % 12, 12, 12) for shift in (0, 1))
    one_epoch = {"epochs": 1} if "epochs" in entry.config_class.model_fields else {}
    recommender = over_mentioned_items(entry.build(entry.configure("warm-up", one_epoch)), inductive)
    recommender.fit(train, RankingTask.valid(train, valid, inductive), RunOptions(device=device))


@dataclass(frozen=True)
class Tried:
    """What is kept of a search's trials: two models, however many were fitted.

    Attributes:
        best: The best on valid, the first of equals.
        history: Its training.
        wanted: The first with the wanted settings; None where none had them.
        seconds: Wall time of all trainings.
    """

    best: Recommender
    history: History
    wanted: Recommender | None
    seconds: float


def fit_best(
    model: str,
    candidates: Sequence[Mapping[str, Any]],
    train: Interactions,
    valid: RankingTask,
    options: RunOptions,
    *,
    where: str,
    wanted: Mapping[str, Any] | None = None,
) -> Tried:
    """Fit ``model`` with each of ``candidates``, one after the other; none is fitted unless all are valid.

    Args:
        model: Name in ``MODELS``.
        candidates: What departs from the model's defaults, one a training; at least one.
        train: What to learn from.
        valid: What decides.
        options: Seed, device, label, listener.
        where: Path of the settings in the configuration, for messages.
        wanted: All settings of a trial that is to be kept whether or not it is the best.
    """
    entry, best, same, seconds = lookup(MODELS, model, where), None, None, 0.0
    inductive = valid.histories is not None
    configs = [entry.configure(where, settings) for settings in candidates]
    warm_up(model, inductive, options.device)
    for config in configs:
        candidate = over_mentioned_items(entry.build(config), inductive)
        history = candidate.fit(train, valid, options)
        seconds += history.seconds
        if same is None and candidate.config.model_dump() == wanted:
            same = candidate
        if best is None or history.best_valid > best[1].best_valid:
            best = candidate, history
    assert best is not None
    return Tried(*best, same, seconds)


def train_best(
    model: str,
    candidates: Sequence[Mapping[str, Any]],
    train: Interactions,
    split: Split,
    options: RunOptions,
    reference: Trained | None = None,
    inductive: bool = False,
    *,
    where: str,
) -> Trained:
    """Fit ``model`` with each of ``candidates``, keep the best on valid and measure that one on test.

    Args:
        model: Name in ``MODELS``.
        candidates: What departs from the model's defaults, one a training.
        train: See ``train_and_measure``, as for all that follow.
        split: See there.
        options: See there.
        reference: See there.
        inductive: See there.
        where: Path of the settings in the configuration, for messages.
    """
    valid, test = RankingTask.valid(split.train, split.valid, inductive), RankingTask.test(split, inductive)
    wanted = reference.config if reference else None
    tried = fit_best(model, candidates, train, valid, options, where=where, wanted=wanted)
    chosen = tried.best
    metrics = test.measure(test.score_of(chosen), CUTOFFS)
    same = chosen
    if wanted is not None:  # unless the reference was found by another search
        same = tried.wanted or fit_best(model, [wanted], train, valid, options, where=where).best
    return Trained(
        config=chosen.config.model_dump(),
        history=tried.history,
        metrics=metrics,
        same_settings=metrics if same is chosen else test.measure(test.score_of(same), CUTOFFS),
        tuning_seconds=tried.seconds,
    )
