"""Stage evaluate: train every downstream model on full, condensed and baseline sets, and measure on test."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import pandas as pd

from dconrec_core.atomic import write_json
from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.condensation import CONDENSERS, usual_settings
from dconrec_core.condensation.dataset import read_card, read_condensed
from dconrec_core.data.io import read_pool, read_split
from dconrec_core.device import resolve_device
from dconrec_core.errors import BudgetError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models.popularity import popularity_scores
from dconrec_core.models.store import stored_model_name
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split
from tasks.finished import Finished, split_identity
from tasks.params import CondenseParams, EvaluateParams
from tasks.pretrain import write_csv
from tasks.timing import stage_timing
from tasks.workspace import Workspace

CURVE_COLUMNS = ["training_set", "model", "seed", "inductive", "epoch", "loss", "valid_ndcg@10"]
RATIO_COLUMNS = ["condenser", "model", "inductive", "ratio", "n_interactions", "ndcg@10", "recall@20", "quality"]
Row = dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """What a model is trained on, and what a row says of it."""

    interactions: Interactions
    observed_share: float = 1.0
    inductive: bool = False

    @classmethod
    def of(cls, condensed: CondensedDataset, fold_in: bool) -> "TrainingSet":
        """A condensed set; with ``fold_in`` real users are folded in whether or not it has users of its own."""
        share = float(condensed.observed.mean()) if len(condensed) else 0.0
        return cls(condensed.interactions, share, condensed.inductive or fold_in)

    def facts(self) -> Row:
        """Its columns; users are those with an interaction."""
        return {
            "inductive": self.inductive,
            "n_interactions": len(self.interactions),
            "n_users": int((self.interactions.user_degree > 0).sum()),
            "observed_share": self.observed_share,
        }


def evaluate(params: EvaluateParams, condense: CondenseParams, files: Workspace, options: RunOptions) -> None:
    """Compare the condensed dataset with full data and with the baselines at the same budget.

    This stage alone reads test.

    Args:
        params: Models, baselines, seeds, size of the search.
        condense: The condenser and its settings, for the ratio curve.
        files: Reads split, pool, condensed and the teacher's name; writes evaluation, metrics, both curves, timing.
        options: Seed, device, listener.
    """
    data, candidates, main = read_split(files.split), read_pool(files.pool), read_condensed(files.condensed)
    trainings = Trainings(params, data, options)
    with stage_timing(files.timing("evaluate"), str(resolve_device(options.device))) as measured:
        sets = {"full": TrainingSet(data.train), "condensed": TrainingSet.of(main, params.fold_in)}
        for name in _baselines(params, main):
            baseline = _baseline(name, candidates, data.valid, condense.ratio, options)
            sets[name] = TrainingSet.of(baseline, params.fold_in)
        curve_sets = _curve_sets(params, condense, candidates, data, main, options)
        for name, training_set in sets.items():
            for model in params.models:
                for seed in params.seeds:
                    trainings.train(name, training_set, model, seed)
        trainings.rows.append(_popularity_row(data))
        curve = _ratio_curve(curve_sets, main.condenser, trainings)
        measured |= {"rows": trainings.seconds, "earlier_seconds": trainings.finished.seconds}
    header = {
        "dataset": read_card(files.condensed).dataset,
        "seed": options.seed,
        "condenser": main.condenser,
        "inductive": sets["condensed"].inductive,
        "teacher": stored_model_name(files.teacher),
        "ratio": condense.ratio,
        "budget": main.budget.n_interactions,
        "n_train": len(data.train),
        "n_users": data.train.n_users,
        "n_items": data.train.n_items,
    }
    write_csv(files.curves, pd.DataFrame(trainings.curves, columns=CURVE_COLUMNS))
    write_csv(files.ratio_curve, pd.DataFrame(curve, columns=RATIO_COLUMNS))
    write_json(files.metrics, summarise(trainings.rows))
    write_json(files.evaluation, {**header, "rows": trainings.rows})
    trainings.finished.clear()


class Trainings:
    """Trains and remembers: a row of figures, the curves and the seconds of every training.

    Args:
        params: Models, seeds, size of the search.
        split: Valid for the search, test for the figures.
        options: Device and listener.
    """

    def __init__(self, params: EvaluateParams, split: Split, options: RunOptions) -> None:
        self.params, self.split, self.options = params, split, options
        self.rows: list[Row] = []
        self.curves: list[Row] = []
        self.seconds: list[Row] = []
        self.finished = Finished(options.checkpoints)
        self._split_identity = split_identity(split)
        self._full: dict[tuple[str, int], Trained] = {}

    def train(self, name: str, training_set: TrainingSet, model: str, seed: int) -> None:
        """Train ``model`` on the set called ``name``; the full set must come first."""
        key = {"training_set": name, "model": model, "seed": seed}
        trained = self.fit(f"{model} on {name}", training_set, model, seed)
        full = self._full.setdefault((model, seed), trained)
        self.rows.append(
            {
                **key,
                **training_set.facts(),
                "config": dict(trained.config),
                "best_epoch": trained.history.best_epoch,
                "valid_ndcg@10": trained.history.best_valid,
                **trained.metrics,
                "quality": trained.metrics["ndcg@10"] / full.metrics["ndcg@10"] if full.metrics["ndcg@10"] else None,
                "same_settings_ndcg@10": trained.same_settings["ndcg@10"],
            }
        )
        self.curves += [{**key, "inductive": training_set.inductive, **row} for row in trained.history.rows]
        seconds = {"train_seconds": trained.history.seconds_to_best, "tuning_seconds": trained.tuning_seconds}
        self.seconds.append({**key, **{name: round(value, 4) for name, value in seconds.items()}})

    def fit(self, label: str, training_set: TrainingSet, model: str, seed: int) -> Trained:
        """Search on valid, measure on test; a stage that was cut off goes on behind the last one."""
        options = replace(self.options, seed=seed, label=label)
        settings, full = self.params.models[model], self._full.get((model, seed))
        train, trials, inductive = training_set.interactions, self.params.trials_of(model), training_set.inductive
        identity = {
            "model": model,
            "settings": settings,
            "trials": trials,
            "seed": seed,
            "device": resolve_device(options.device).type,
            "beside": dict(full.config) if full else None,
            "inductive": inductive,
            "train": train.fingerprint(),
            **self._split_identity,
        }
        return self.finished.get(
            identity,
            lambda: train_and_measure(model, settings, train, self.split, trials, options, full, inductive=inductive),
        )

    def figures(self, name: str, model: str, seed: int) -> Row:
        """The row of a training that was remembered."""
        key = (name, model, seed)
        return next(row for row in self.rows if (row["training_set"], row["model"], row["seed"]) == key)

    def full_ndcg(self, model: str, seed: int) -> float:
        """NDCG@10 of ``model`` on full data."""
        return self._full[model, seed].metrics["ndcg@10"]


def summarise(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Means over seeds, by model and training set, and whether the set is inductive."""
    summary: dict[str, dict[str, Row]] = {}
    for row in rows:
        same = [r for r in rows if (r["model"], r["training_set"]) == (row["model"], row["training_set"])]
        summary.setdefault(row["model"], {})[row["training_set"]] = {
            key: fmean(values) if len(values := [r[key] for r in same if r[key] is not None]) else None
            for key in ("ndcg@10", "recall@20", "quality", "n_interactions")
        } | {"inductive": row["inductive"]}
    return summary


def _rival(condensed: CondensedDataset) -> str:
    """The random draw that a set must be compared with: pairs, or whole users where real ones are folded in."""
    return "random-users" if condensed.inductive else "random"


def _baselines(params: EvaluateParams, main: CondensedDataset) -> list[str]:
    """The configured ones; where ``random`` is asked for, also its inductive counterpart for an inductive set."""
    rival = [_rival(main)] if "random" in params.baselines else []
    return list(dict.fromkeys([*params.baselines, *rival]))


def _baseline(
    name: str, pool: CandidatePool, valid: Interactions, ratio: float, options: RunOptions
) -> CondensedDataset:
    entry = lookup(CONDENSERS, name, "evaluate.baselines")
    condenser = entry.build(entry.config_class(**usual_settings(name, ratio)))
    try:
        return condenser.condense(pool, valid, Budget.from_ratio(ratio, pool.train), options.named(name))
    except BudgetError as error:
        raise BudgetError(f"baseline {name}: {error}; or take {name} out of evaluate.baselines") from None


def _popularity_row(split: Split) -> Row:
    metrics = RankingTask.test(split).measure(popularity_scores(split.train))
    valid = RankingTask.valid(split.train, split.valid).measure(popularity_scores(split.train))["ndcg@10"]
    return {
        "training_set": "full",
        "model": "popularity",
        "seed": 0,
        **TrainingSet(split.train).facts(),
        "config": {},
        "best_epoch": 0,
        "valid_ndcg@10": valid,
        **metrics,
        "quality": None,
        "same_settings_ndcg@10": metrics["ndcg@10"],
    }


def _curve_sets(
    params: EvaluateParams,
    condense: CondenseParams,
    pool: CandidatePool,
    split: Split,
    main: CondensedDataset,
    options: RunOptions,
) -> dict[tuple[float, str], TrainingSet | None]:
    """Sets of several sizes by the configured condenser and by its random rival; None for those trained on anyway.

    Made before anything is trained, so that a ratio that cannot be served says so at once.
    """
    sets: dict[tuple[float, str], TrainingSet | None] = {}
    trained = (main.condenser, *_baselines(params, main))
    name_of_main, config_of_main = _at_other_ratios(condense, main)
    for ratio in sorted({*params.curve_ratios, condense.ratio} if params.curve_ratios else ()):
        for name in dict.fromkeys((condense.name, _rival(main))):
            actual, settings = (name_of_main, config_of_main) if name == condense.name else (name, {})
            try:
                budget = Budget.from_ratio(ratio, split.train, "evaluate.curve_ratios")
                if budget == main.budget and name in trained:
                    sets[ratio, name] = None
                    continue
                entry = lookup(CONDENSERS, actual, "condense.name")
                usual = usual_settings(actual, ratio)
                condenser = entry.build(entry.configure("condense.config", {**usual, **settings}))
                condensed = condenser.condense(pool, split.valid, budget, options.named(f"{name} at {ratio:.2%}"))
            except BudgetError as error:
                way_out = f"or take {ratio:g} out of evaluate.curve_ratios"
                raise BudgetError(f"{name} at {ratio:g}: {error}; {way_out}") from None
            sets[ratio, name] = TrainingSet.of(condensed, params.fold_in)
    return sets


def _at_other_ratios(condense: CondenseParams, main: CondensedDataset) -> tuple[str, Mapping[str, Any]]:
    """The condenser behind ``main`` and its settings: where ``auto`` chose, what it chose, but for the size."""
    if "chosen" not in main.notes:
        return condense.name, condense.config
    chosen = main.notes["chosen_settings"]
    return main.notes["chosen"], {name: value for name, value in chosen.items() if name != "n_users"}


def _ratio_curve(
    sets: Mapping[tuple[float, str], TrainingSet | None], condenser: str, trainings: Trainings
) -> list[Row]:
    """The first model on each set of the curve, first seed; what has been trained already is read off ``trainings``."""
    model, seed, rows = next(iter(trainings.params.models)), trainings.params.seeds[0], []
    full = trainings.full_ndcg(model, seed)
    for (ratio, name), training_set in sets.items():
        if training_set is None:
            figures = trainings.figures("condensed" if name == condenser else name, model, seed)
        else:
            metrics = trainings.fit(f"{model} on {name} at {ratio:.2%}", training_set, model, seed).metrics
            figures = {**training_set.facts(), **metrics}
        rows.append(
            {
                "condenser": name,
                "model": model,
                "ratio": ratio,
                **{key: figures[key] for key in ("inductive", "n_interactions", "ndcg@10", "recall@20")},
                "quality": figures["ndcg@10"] / full if full else None,
            }
        )
    return rows
