"""comparison: what a recommender trained on a condensed set keeps of the same recommender tuned on full data.

The one measurement behind the flow ``compare``, ``make paper-table`` and the benchmarks. What several cells share
(split, teacher and pool, condensed set, full-data reference) is made once, also when cells are measured side by side.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch

from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.condensation import CONDENSERS, source_model, usual_settings
from dconrec_core.condensation.augment import build_pool
from dconrec_core.errors import DataError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.training import History
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Split
from tasks.finished import split_identity
from tasks.results_file import ROOT, Results, Row
from tasks.timing import peak_rss_mb, reset_peak_rss

Settings = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Teaching:
    """Where the candidate pool comes from: a teacher and how much it adds."""

    model: str = "ease"
    settings: Settings = field(default_factory=dict)
    pseudo_ratio: float = 0.0
    min_pseudo: int = 20


@dataclass(frozen=True)
class Cell:
    """One downstream model on one condensed set, beside full data.

    Args:
        dataset: Name of the data.
        ratio: Budget, as a share of the training interactions.
        condenser: Name in ``CONDENSERS``.
        model: Downstream model, in ``MODELS``.
        seed: Of split, teacher, condensation and trainings.
        teaching: The pool.
        source: Model that teaches the pool; by default that of ``teaching``.
        settings: Of the downstream model, on both sides.
        trials: Size of each search.
        condensing: Settings of the condenser; None for its defaults.
        beside: Models of full data with their settings, one trial each, the best of which is the reference of a model
            that full data are too large for; by default the model is compared with itself.
        base: Settings of BPRMF on full data where its share is wanted too.
        base_trials: Size of its search.
        source_settings: Of the source model.
        fold_in: Whether real users are folded in from their whole training histories also where the set holds rows of
            theirs; those of a set with users of its own always are.
        origin: What else determines the data, for the key.
    """

    dataset: str
    ratio: float
    condenser: str
    model: str
    seed: int
    teaching: Teaching = field(default_factory=Teaching)
    source: str = ""
    settings: Settings = field(default_factory=dict)
    trials: int = 3
    condensing: Settings | None = None
    beside: Mapping[str, Settings] = field(default_factory=dict)
    base: Settings | None = None
    base_trials: int = 3
    source_settings: Settings = field(default_factory=dict)
    fold_in: bool = False
    origin: Settings = field(default_factory=dict)

    @property
    def source_model(self) -> str:
        """Whom the set is learned from, for the row: the teacher that was asked for, or what the condenser trains."""
        if self.source:
            return self.source
        return source_model(self.condenser)

    @property
    def taught(self) -> Teaching:
        """The pool, by the source model where one is asked for."""
        if not self.source:
            return self.teaching
        return replace(self.teaching, model=self.source, settings=dict(self.source_settings))

    @property
    def condenser_settings(self) -> Settings:
        """The condenser's settings, with what the cell decides."""
        return usual_settings(self.condenser, self.ratio) | dict(self.condensing or {})

    @property
    def case(self) -> Row:
        """Everything that determines the row, beside code and versions."""
        settings: Row = {"teaching": vars(self.taught), "model": dict(self.settings)}
        if self.condensing is not None:
            settings["condensing"] = dict(self.condensing)
        if self.fold_in:
            settings["fold_in"] = True
        if self.origin:
            settings["origin"] = dict(self.origin)
        if self.beside:
            settings["beside"] = {name: dict(own) for name, own in self.beside.items()}
        if self.base is not None:
            settings["base"] = {"settings": dict(self.base), "trials": self.base_trials}
        return {
            "dataset": self.dataset,
            "ratio": self.ratio,
            "condenser": self.condenser,
            "source_model": self.source_model,
            "downstream_model": self.model,
            "seed": self.seed,
            "trials": self.trials,
            "settings": settings,
        }

    @property
    def name(self) -> str:
        """For people."""
        source = f"{self.source_model} → " if self.source_model else ""
        folded = ", folded in" if self.fold_in else ""
        return f"{self.dataset} {self.ratio:.1%} {self.condenser} {source}{self.model} seed {self.seed}{folded}"


class Once(Generic[T]):
    """Makes each thing once, whoever asks; who asks while it is being made waits. The last ``keep`` are held.

    Args:
        keep: How many to hold.
    """

    def __init__(self, keep: int) -> None:
        self._keep, self._lock = keep, threading.Lock()
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``key`` stands for."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._made:
                    self._made.move_to_end(key)
                    return self._made[key]
            made = make()
            with self._lock:
                self._made[key] = made
                while len(self._made) > self._keep:
                    self._made.popitem(last=False)
            return made


def cannot_matter(model: str) -> tuple[str, ...]:
    """Parts of the core that cannot change a model's figures on full data.

    Condensation, loading (the split's fingerprint is part of each case) and the models that it does not import.
    """
    folder = ROOT / "dconrec_core" / "models"
    files = {name: f"{name.replace('-', '_')}.py" for name in MODELS}
    code = (folder / files[model]).read_text(encoding="utf-8")
    others = (file for name, file in files.items() if name != model and f"models.{file[:-3]} import" not in code)
    return ("condensation", "data", "selection.py", *(f"models/{file}" for file in others))


class References:
    """Figures of models on full data, kept in a file of their own: what condensation does cannot change them.

    Args:
        results: Opens the file, told what of the core its rows do not depend on.
    """

    def __init__(self, results: Callable[[tuple[str, ...]], Results]) -> None:
        self._results, self._opened, self._once = results, Once[Results](keep=1024), Once[Row](keep=1024)

    def row(
        self,
        dataset: str,
        seed: int,
        split: Split,
        model: str,
        settings: Settings,
        trials: int,
        options: RunOptions | None = None,
    ) -> Row:
        """The best of a search on valid: its figures on test, its settings, its seconds."""
        case = {
            "dataset": dataset,
            "model": model,
            "seed": seed,
            "trials": trials,
            "settings": dict(settings),
            "source": split_identity(split),
        }
        named = (options or RunOptions(seed, "cpu")).named(f"{model} on full data")

        def measure() -> Row:
            trained = train_and_measure(model, settings, split.train, split, trials, replace(named, seed=seed))
            return {
                "valid_ndcg@10": trained.history.best_valid,
                **{name: value for name, value in trained.metrics.items() if name in ("ndcg@10", "recall@20")},
                "train_seconds": round(trained.history.seconds_to_best, 3),
                "tuning_seconds": round(trained.tuning_seconds, 3),
                "threads": torch.get_num_threads(),
                "config": json.dumps(dict(trained.config)),
            }

        results = self._opened.get(model, lambda: self._results(cannot_matter(model)))
        return self._once.get(results.key(case), lambda: results.row(case, measure))


def as_trained(row: Row) -> Trained:
    """A row as the reference of ``train_and_measure``."""
    history = History(best_valid=row["valid_ndcg@10"], seconds_to_best=row["train_seconds"])
    metrics = {name: row[name] for name in ("ndcg@10", "recall@20")}
    return Trained(json.loads(row["config"]), history, metrics, metrics, row["tuning_seconds"])


def beside_full(metrics: Mapping[str, float], full: Mapping[str, float]) -> Row:
    """Figures of a model on a set beside those of the same model on full data, and their shares of them.

    Raises:
        DataError: Full data's are 0.
    """
    for name in ("ndcg@10", "recall@20"):
        if not full[name]:
            raise DataError(
                f"trained on full data, the model has a test {name} of 0: there is nothing to compare with; bring more "
                "data, or name another model"
            )
    return {
        "ndcg@10": metrics["ndcg@10"],
        "recall@20": metrics["recall@20"],
        "full_ndcg@10": full["ndcg@10"],
        "full_recall@20": full["recall@20"],
        "quality": metrics["ndcg@10"] / full["ndcg@10"],
        "recall_quality": metrics["recall@20"] / full["recall@20"],
    }


class Source:
    """One dataset under one seed and one teaching: split, teacher and candidate pool.

    Args:
        split: The split.
        seed: Of teacher and pool.
        teaching: Teacher and pool.
        options: Device and listener; the seed is ``seed``.
    """

    def __init__(self, split: Split, seed: int, teaching: Teaching, options: RunOptions | None = None) -> None:
        self.seed, self.options, self.split = seed, replace(options or RunOptions(device="cpu"), seed=seed), split
        started = time.perf_counter()
        reset_peak_rss()
        entry = lookup(MODELS, teaching.model, "teacher.name")
        self.teacher = entry.build(entry.configure("teacher.config", teaching.settings))
        named = self.options.named(f"teacher {teaching.model}")
        self.teacher.fit(split.train, RankingTask.valid(split.train, split.valid), named)
        self.pool: CandidatePool = build_pool(
            self.teacher.score, split.train, teaching.pseudo_ratio, teaching.min_pseudo, self.options
        )
        self.teacher_seconds, self.peak_rss_mb = time.perf_counter() - started, peak_rss_mb()

    def condense(self, condenser: str, ratio: float, settings: Settings | None = None) -> tuple[CondensedDataset, Row]:
        """A condensed set, and what it took: seconds, and the memory of teacher, pool and condensation."""
        reset_peak_rss()
        entry, started = lookup(CONDENSERS, condenser, "condenser"), time.perf_counter()
        options = replace(self.options, label=condenser)
        budget = Budget.from_ratio(ratio, self.split.train, "the ratio")
        config = entry.configure(condenser, settings or {})
        condensed = entry.build(config).condense(self.pool, self.split.valid, budget, options)
        return condensed, {
            "condense_seconds": round(time.perf_counter() - started, 3),
            "peak_rss_mb": max(self.peak_rss_mb, peak_rss_mb()),
        }


class Comparison:
    """Measures cells, and holds what several of them share. May be used from several threads.

    Args:
        load: From a dataset's name and a seed to the split.
        references: Full data.
        options: Device and listener; seeds are those of the cells.
    """

    def __init__(
        self, load: Callable[[str, int], Split], references: References, options: RunOptions | None = None
    ) -> None:
        self.load, self.references, self.options = load, references, options or RunOptions(device="cpu")
        self._splits = Once[Split](keep=8)
        self._sources = Once[Source](keep=4)  # a pool is many times its set
        self._sets = Once[tuple[CondensedDataset, Row]](keep=64)

    def split(self, dataset: str, seed: int) -> Split:
        """The split of a seed."""
        return self._splits.get((dataset, seed), lambda: self.load(dataset, seed))

    def source(self, dataset: str, seed: int, teaching: Teaching) -> Source:
        """Split, teacher and pool."""
        key = (dataset, seed, repr(teaching))
        return self._sources.get(key, lambda: Source(self.split(dataset, seed), seed, teaching, self.options))

    def condensed(self, cell: Cell) -> tuple[CondensedDataset, Row]:
        """The set of a cell, and what teacher and condensation took: seconds, and the most memory."""
        teaching, settings = cell.taught, cell.condenser_settings
        key = (cell.dataset, cell.seed, repr(teaching), cell.condenser, cell.ratio, repr(settings))

        def make() -> tuple[CondensedDataset, Row]:
            source = self.source(cell.dataset, cell.seed, teaching)
            condensed, took = source.condense(cell.condenser, cell.ratio, settings)
            return condensed, {"teacher_seconds": round(source.teacher_seconds, 3), **took}

        return self._sets.get(key, make)

    def reference(self, cell: Cell, model: str, settings: Settings, trials: int) -> Row:
        """A model on full data."""
        split = self.split(cell.dataset, cell.seed)
        return self.references.row(cell.dataset, cell.seed, split, model, settings, trials, self.options)

    def full(self, cell: Cell) -> Row:
        """What a cell is compared with."""
        if cell.beside:
            rows = [self.reference(cell, name, settings, 1) for name, settings in cell.beside.items()]
            return max(rows, key=lambda row: row["valid_ndcg@10"])
        return self.reference(cell, cell.model, cell.settings, cell.trials)

    def base(self, cell: Cell) -> Row | None:
        """BPRMF on full data, or what stands in for it; None where a cell asks for neither."""
        if cell.base is None:
            return None
        return self.full(cell) if cell.beside else self.reference(cell, "bprmf", cell.base, cell.base_trials)

    def measure(self, cell: Cell) -> Row:
        """The figures of one cell."""
        full, base = self.full(cell), self.base(cell)
        condensed, took = self.condensed(cell)
        reset_peak_rss()
        inductive = condensed.inductive or cell.fold_in
        options = replace(self.options, seed=cell.seed, label=cell.model)
        split = self.split(cell.dataset, cell.seed)
        trained = train_and_measure(
            cell.model, cell.settings, condensed.interactions, split, cell.trials, options,
            None if cell.beside else as_trained(full), inductive,
        )  # fmt: skip
        saved = full["train_seconds"] - trained.history.seconds_to_best
        spent = took["teacher_seconds"] + took["condense_seconds"]
        return {
            "inductive": inductive,
            "source_fingerprint": condensed.source,
            "budget": condensed.budget.n_interactions,
            "n_interactions": len(condensed),
            "n_users_condensed": int((condensed.interactions.user_degree > 0).sum()),
            "n_items_condensed": int((condensed.interactions.item_degree > 0).sum()),
            "observed_share": round(float(condensed.observed.mean()), 4),
            "valid_ndcg@10": trained.history.best_valid,
            **beside_full(trained.metrics, full),
            "reference_model": full["model"],
            "reference_quality": trained.metrics["ndcg@10"] / base["ndcg@10"] if base and base["ndcg@10"] else None,
            "same_settings_ndcg@10": trained.same_settings["ndcg@10"],
            "same_settings_quality": trained.same_settings["ndcg@10"] / full["ndcg@10"],
            **took,
            "train_seconds": round(trained.history.seconds_to_best, 4),
            "full_train_seconds": full["train_seconds"],
            "speed_up": round(full["train_seconds"] / max(trained.history.seconds_to_best, 1e-4), 2),
            "break_even": round(spent / saved, 3) if saved > 0 else None,
            "threads": torch.get_num_threads(),
            "peak_rss_mb": max(took["peak_rss_mb"], peak_rss_mb()),  # whoever made the set that several cells share
        }
