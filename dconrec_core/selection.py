"""Choose a model and its settings on a condensed set, and see what that choice is worth on full data."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from dconrec_core.comparison import train_best, warm_up
from dconrec_core.errors import ConfigError, DataError, TrainingError
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.types import Interactions, Split

Grid = Mapping[str, Mapping[str, Sequence[Any]]]
"""Model → setting → values; a model's configurations are all combinations of its settings' values."""

PASSES: Mapping[str, Sequence[Any]] = {"epoch_interactions": [30_000]}
"""So that as many steps lie between two looks at valid on a small set, which early stopping counts in."""
GRID: Grid = {
    "bprmf": {"embedding_size": [8, 64], "learning_rate": [0.02, 0.1], "weight_decay": [0.002, 0.02]},
    "lightgcn": {"n_layers": [1, 3], "weight_decay": [0.0001, 0.01], **PASSES},
    "ngcf": {"n_layers": [1, 3], **PASSES},
    "xsimgcl": {"contrast_weight": [0.02, 0.2, 1.0], **PASSES},
    "ease": {"regularization": [[0.1], [1.0], [10.0], [100.0]], "relative": [True]},
    "ridge": {"output_exponent": [0.0, 0.5], "regularization": [[1.0], [10.0], [100.0]], "relative": [True]},
    "multvae": {"kl_weight": [0.0, 0.2, 1.0], **PASSES},
}
"""Good and bad settings of every model, so that there is something to rank; minutes in all on MovieLens-100K."""
SHORTLISTS = (1, 3, 5, 7, 10)
"""How many of the condensed side's first are trained on full data too."""


@dataclass(frozen=True)
class Configuration:
    """One model with what departs from its defaults."""

    model: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from the others of a grid: ``lightgcn n_layers 3, weight_decay 0.01``."""
        return f"{self.model} {', '.join(f'{key} {_short(value)}' for key, value in self.settings.items())}".strip()


@dataclass(frozen=True)
class Measured:
    """What one side shows of a configuration, and what that takes.

    Attributes:
        valid: Validation NDCG@10, the only figure a choice is made by; 0 where training failed.
        test: Test NDCG@10.
        recall: Test Recall@20.
        seconds: Wall time of the training, validation included and test not: what a choice costs.
        best_epoch: The epoch whose weights were kept.
        failure: Why training failed; empty where it did not.
    """

    valid: float
    test: float
    recall: float
    seconds: float
    best_epoch: int = 0
    failure: str = ""


@dataclass(frozen=True)
class Shortlist:
    """What it is worth to train the first few by the condensed side on full data too, and choose among those.

    Attributes:
        size: How many.
        chosen: The best of them on valid on full data.
        regret: As in ``Agreement``, of ``chosen``; None, too, where not all were trained on full data.
        seconds: Wall time of all trainings on the condensed side, and of these on full data.
        time_ratio: Of all trainings on full data, over that; None where not all were.
    """

    size: int
    chosen: str
    regret: float | None
    seconds: float
    time_ratio: float | None


@dataclass(frozen=True)
class Agreement:
    """How well the condensed side stands in for full data when configurations are compared.

    Where a shortlist alone was trained on full data, no one knows: τ, both regrets and ``time_ratio`` are None.

    Attributes:
        n_configurations: How many were ranked.
        kendall_tau: Kendall's τ-b between validation NDCG@10 on the condensed side and on full data; None where a side
            ranks nothing, all its figures being equal.
        kendall_tau_test: The same between validation NDCG@10 on the condensed side and *test* NDCG@10 on full data.
        regret: Test NDCG@10, trained on full data, of ``chosen``: its shortfall against that of ``best``, as a share of
            the latter. Negative where the choice does better on test; None where the latter is 0.
        regret_at_random: Its mean over all configurations: the regret of a choice by lot.
        chosen: The best on valid on the condensed side; of equals the first.
        best: The best on valid on full data, of those trained there; of equals the first of the shortlist.
        seconds_condensed: Wall time of all trainings on the condensed side.
        seconds_full: Wall time of all trainings on full data.
        time_ratio: The latter over the former.
    """

    n_configurations: int
    kendall_tau: float | None
    kendall_tau_test: float | None
    regret: float | None
    regret_at_random: float | None
    chosen: str
    best: str
    seconds_condensed: float
    seconds_full: float
    time_ratio: float | None


def configurations(grid: Grid, where: str = "select.grid") -> list[Configuration]:
    """Every configuration of a grid, checked; models and values in the order given.

    Args:
        grid: Model → setting → values.
        where: Its path in the configuration, for messages.

    Raises:
        ConfigError: A model or a setting is unknown, a value is not allowed or occurs twice, a list of values is empty,
            or there are fewer than two configurations.
    """
    for model, settings in grid.items():
        if nothing := next((key for key, values in settings.items() if not values), ""):
            raise ConfigError(f"{where}.{model}.{nothing} is empty; give it a value, or leave it out")
    found = list(_combinations(grid))
    for one in found:
        lookup(MODELS, one.model, where).configure(f"{where}.{one.model}", one.settings)
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ConfigError(f"{where} holds {twice!r} twice; name each value once")
    if len(found) < 2:
        raise ConfigError(
            f"{where} holds {len(found)} configurations, a ranking needs 2; give models of {', '.join(sorted(MODELS))} "
            "more values"
        )
    return found


def train_once(
    configuration: Configuration, train: Interactions, split: Split, options: RunOptions, inductive: bool = False
) -> Measured:
    """Train a configuration on one side and measure it, as that side's user would see it.

    A training that fails (a loss that is not finite) ranks last, like any other bad choice of settings.

    Args:
        configuration: Model and settings.
        train: The side's training set: the split's own, or a condensed one.
        split: Where valid and test come from.
        options: Seed, device, label, listener, checkpoints.
        inductive: Whether the set has users of its own, and real ones are folded in.
    """
    model, settings = configuration.model, configuration.settings
    warm_up(model, inductive, options.device)
    started = time.perf_counter()
    try:
        trained = train_best(
            model, [settings], train, split, options, inductive=inductive, where=f"select.grid.{model}"
        )
    except TrainingError as error:
        return Measured(0.0, 0.0, 0.0, time.perf_counter() - started, failure=str(error))
    history, metrics = trained.history, trained.metrics
    return Measured(history.best_valid, metrics["ndcg@10"], metrics["recall@20"], history.seconds, history.best_epoch)


def rank_agreement(condensed: Mapping[str, Measured], full: Mapping[str, Measured]) -> Agreement:
    """Compare the two rankings of the same configurations.

    Args:
        condensed: What each showed on the condensed side, by name.
        full: The same on full data, of all or of a shortlist.

    Raises:
        DataError: One was trained on full data alone, none was trained there, or there are fewer than two.
    """
    if unknown := sorted(set(full) - set(condensed)):
        raise DataError(f"{unknown[0]!r} was trained on full data alone; train it on the condensed set, too")
    if len(condensed) < 2:
        raise DataError(f"{len(condensed)} configurations were trained, a ranking needs 2")
    if not full:
        raise DataError("nothing was trained on full data; a choice needs 1")
    best = _best(full, by_turns(condensed))
    seconds = [sum(one.seconds for one in side.values()) for side in (condensed, full)]
    found = Agreement(
        n_configurations=len(condensed),
        kendall_tau=None,
        kendall_tau_test=None,
        regret=None,
        regret_at_random=None,
        chosen=max(condensed, key=lambda name: condensed[name].valid),
        best=best,
        seconds_condensed=seconds[0],
        seconds_full=seconds[1],
        time_ratio=None,
    )
    if len(full) < len(condensed):
        return found
    seen, reachable = [one.valid for one in condensed.values()], full[best].test
    return replace(
        found,
        kendall_tau=_tau(seen, [full[name].valid for name in condensed]),
        kendall_tau_test=_tau(seen, [full[name].test for name in condensed]),
        regret=_shortfall(full[found.chosen].test, reachable),
        regret_at_random=_shortfall(float(np.mean([full[name].test for name in condensed])), reachable),
        time_ratio=seconds[1] / seconds[0] if seconds[0] else None,
    )


def shortlists(
    condensed: Mapping[str, Measured], full: Mapping[str, Measured], sizes: Sequence[int] = SHORTLISTS
) -> list[Shortlist]:
    """What shortlists of several sizes (``by_turns``) come to; that of all has no regret, and takes longest.

    Args:
        condensed: What each configuration showed on the condensed side, by name.
        full: The same on full data, of all or of those that shortlists begin with.
        sizes: How long; those of more than there are, or were trained on full data, are left out.
    """
    ranking, all_known = by_turns(condensed), len(full) == len(condensed)
    reachable = full[_best(full, ranking)].test
    all_condensed, all_full = (sum(one.seconds for one in side.values()) for side in (condensed, full))
    found = []
    for size in (size for size in sizes if size <= len(full)):
        first = ranking[:size]
        chosen = _best(full, first)
        seconds = all_condensed + sum(full[name].seconds for name in first)
        regret = _shortfall(full[chosen].test, reachable) if all_known else None
        found.append(Shortlist(size, chosen, regret, seconds, all_full / seconds if seconds and all_known else None))
    return found


def by_turns(condensed: Mapping[str, Measured]) -> list[str]:
    """Names of configurations in the order of a shortlist: the best of each model, then the second of each, and so on.

    In a turn the better ones come first, and trainings that failed last of all. A condensed set favours some models
    over others more than settings of one model, and near equals of one model say the same twice (docs/selection.md).

    Args:
        condensed: What each showed on the condensed side, by name.
    """
    ranking = sorted(condensed, key=lambda name: -condensed[name].valid)  # of equals the first stays first
    met: Counter[str] = Counter()
    turn: dict[str, int] = {}
    for name in ranking:
        turn[name] = met[model_of(name)]
        met[model_of(name)] += 1
    # Stable: within a turn the better ones stay first.
    return sorted(ranking, key=lambda name: (condensed[name].failure != "", turn[name]))


def _best(full: Mapping[str, Measured], names: Sequence[str]) -> str:
    """The best on valid on full data, of those of ``names`` that were trained there; of equals the first."""
    return max((name for name in names if name in full), key=lambda name: full[name].valid)


def model_of(name: str) -> str:
    """The model of a configuration, from the configuration's name."""
    return name.partition(" ")[0]


def _combinations(grid: Grid) -> Iterator[Configuration]:
    for model, settings in grid.items():
        for values in product(*settings.values()):
            yield Configuration(model, dict(zip(settings, values, strict=True)))


def _tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's τ-b, which corrects for ties; undefined where all are tied."""
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(kendalltau(one, other).statistic)


def _shortfall(reached: float, reachable: float) -> float | None:
    return (reachable - reached) / reachable if reachable else None


def _short(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
