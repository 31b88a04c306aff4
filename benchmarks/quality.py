"""``make bench-quality``: condensed sets beside full data and baselines, three seeds → quality.json (resumable).

A seed changes the split, the teacher, the condensation and the initialisation. Every training set, full data included,
is tuned on valid by the same number of trials; test is read once per figure (docs/evaluation.md). ``--dataset``,
``--ratio``, ``--seed``, ``--condenser`` and ``--model`` measure a part.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser_of, run_main
from benchmarks.datasets import load_split
from benchmarks.references import References, as_trained
from benchmarks.results import Results, Row, peak_rss_mb
from dconrec_core.comparison import train_and_measure
from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.augment import build_pool
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Split

COMMAND = "make bench-quality"
SOURCE_MODELS = {"dconrec": "bprmf", "dconrec-paper": "bprmf", "synthetic-users": "ridge"}
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Teaching:
    """Where the candidate pool comes from: a teacher and how much it adds."""

    model: str = "ease"
    settings: Settings = field(default_factory=dict)
    pseudo_ratio: float = 0.0
    min_pseudo: int = 20


@dataclass(frozen=True)
class Plan:
    """A block of rows: condensers × models × ratios × seeds on one dataset.

    Args:
        dataset: Name in ``benchmarks.datasets``.
        ratios: Budgets.
        condensers: Names in ``CONDENSERS``.
        models: Downstream models, with settings that both sides have.
        teaching: The pool.
        trials: Size of each search.
        seeds: Seeds.
        instead: Models of full data, one trial each, the best of which is the reference of a model that full data are
            too large for; by default each model is compared with itself.
    """

    dataset: str
    ratios: tuple[float, ...]
    condensers: tuple[str, ...]
    models: Mapping[str, Settings]
    teaching: Teaching
    trials: int = 3
    seeds: tuple[int, ...] = (0, 1, 2)
    instead: tuple[str, ...] = ()

    def cases(self) -> Iterator[Row]:
        """Everything that determines a row, beside code and versions."""
        for ratio in self.ratios:
            for seed in self.seeds:
                for condenser in self.condensers:
                    for model, settings in self.models.items():
                        yield {
                            "dataset": self.dataset,
                            "ratio": ratio,
                            "condenser": condenser,
                            "source_model": SOURCE_MODELS.get(condenser, ""),
                            "downstream_model": model,
                            "seed": seed,
                            "trials": self.trials,
                            "settings": {"teaching": vars(self.teaching), "model": dict(settings)},
                        }


TUNED: Mapping[str, Mapping[str, Settings]] = {
    "ml-100k": {"bprmf": {}, "lightgcn": {}, "ease": {}, "ridge": {}},
    "ml-1m": {
        "bprmf": {"learning_rate": 0.15, "weight_decay": 0.01, "eval_every": 10},
        "lightgcn": {}, "ease": {}, "ridge": {}, "ngcf": {"dropout": 0.0}, "xsimgcl": {},
    },
    "gowalla": {"bprmf": {}, "lightgcn": {"weight_decay": 0.0001}, "ridge": {}},
    "ciao": {"bprmf": {}, "lightgcn": {}, "ridge": {}},
}  # fmt: skip
"""Settings found on valid for full data, as in ``presets/``; the search is around them, on both sides."""


def _models(dataset: str, *names: str) -> Mapping[str, Settings]:
    return {name: TUNED[dataset][name] for name in names}


WIDE = Teaching("graph-filter")
SHARP, STRONG = Teaching(settings={"regularization": [100.0]}, pseudo_ratio=0.3, min_pseudo=5), Teaching()
PLANS = (
    Plan("ml-1m", (0.005,), ("synthetic-users", "random-users"), _models("ml-1m", "bprmf", "lightgcn", "ease", "ridge"),
         STRONG),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "bprmf", "lightgcn", "ease", "ridge"), STRONG),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "xsimgcl"), STRONG, seeds=(0,)),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "ngcf"), STRONG, trials=2, seeds=(0,)),
    Plan("ml-100k", (0.005, 0.01, 0.05), ("synthetic-users", "random-users", "teacher-top", "dconrec", "random"),
         _models("ml-100k", "bprmf", "lightgcn", "ease", "ridge"), STRONG),
    Plan("ciao", (0.005, 0.05), ("synthetic-users", "random-users"), _models("ciao", "bprmf", "ridge"), WIDE),
    Plan("ciao", (0.005, 0.05), ("synthetic-users",), _models("ciao", "lightgcn"), WIDE, trials=1),
    Plan("gowalla", (0.005, 0.05), ("synthetic-users",), _models("gowalla", "bprmf", "lightgcn"), WIDE, trials=1),
    Plan("gowalla", (0.005, 0.05), ("synthetic-users",), _models("gowalla", "ridge"), WIDE,
         instead=("bprmf", "lightgcn")),
    Plan("ml-1m", (0.005, 0.05), ("teacher-top", "random"), _models("ml-1m", "bprmf"), STRONG),
    Plan("ml-100k", (0.001, 0.002, 0.02, 0.1), ("synthetic-users", "random-users", "teacher-top", "dconrec", "random"),
         _models("ml-100k", "bprmf"), STRONG, seeds=(0,)),
    Plan("ml-1m", (0.001, 0.002, 0.02), ("synthetic-users", "random-users"), _models("ml-1m", "bprmf"), STRONG,
         seeds=(0,)),
    Plan("ml-100k", (0.25,), ("dconrec", "dconrec-paper", "teacher-top", "random-pool", "random", "popularity"),
         _models("ml-100k", "bprmf", "lightgcn"), SHARP, trials=4),
)  # fmt: skip


def beside_full(metrics: Mapping[str, float], full: Mapping[str, float]) -> Row:
    """Figures of a model on a set beside those of the same model on full data, and their shares of them."""
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
    """

    def __init__(self, split: Split, seed: int, teaching: Teaching) -> None:
        self.seed, self.options, self.split = seed, RunOptions(seed=seed, device="cpu"), split
        started = time.perf_counter()
        entry = MODELS[teaching.model]
        self.teacher = entry.build(entry.configure("teacher.config", teaching.settings))
        self.teacher.fit(split.train, RankingTask.valid(split.train, split.valid), self.options)
        self.pool: CandidatePool = build_pool(
            self.teacher.score, split.train, teaching.pseudo_ratio, teaching.min_pseudo, self.options
        )
        self.teacher_seconds = time.perf_counter() - started

    def condense(self, condenser: str, ratio: float, settings: Settings | None = None) -> tuple[CondensedDataset, Row]:
        """A condensed set, and the seconds it took: in all, and between two events in the median."""
        ticks: list[float] = []

        def tick(event: EpochEvent, /) -> None:
            ticks.append(time.perf_counter())

        entry, started = CONDENSERS[condenser], time.perf_counter()
        options = RunOptions(self.seed, "cpu", condenser, tick)
        budget = Budget.from_ratio(ratio, self.split.train)
        if settings is None:  # a kept tail is more than a small budget
            settings = {"tail_threshold": 0} if condenser == "dconrec" and ratio < 0.25 else {}
        config = entry.configure(condenser, settings)
        condensed = entry.build(config).condense(self.pool, self.split.valid, budget, options)
        seconds: Row = {"condense_seconds": round(time.perf_counter() - started, 3)}
        gaps = sorted(after - before for before, after in pairwise(ticks))
        if gaps:
            seconds["outer_epoch_seconds"] = round(gaps[len(gaps) // 2], 4)
        return condensed, seconds


class Run:
    """Measures rows, and keeps what several of them share: splits, sources, condensed sets.

    Args:
        data: Folder of the datasets' files.
        references: Full data.
    """

    def __init__(self, data: Path, references: References) -> None:
        self.data, self.references = data, references
        self.splits: dict[tuple[str, int], Split] = {}
        self.sources: dict[tuple[str, int, str], Source] = {}
        self.sets: dict[tuple[str, int, str, str, float], tuple[CondensedDataset, Row]] = {}

    def split(self, dataset: str, seed: int) -> Split:
        """The split of a seed."""
        if (dataset, seed) not in self.splits:
            self.splits[dataset, seed] = load_split(dataset, self.data, seed)
        return self.splits[dataset, seed]

    def source(self, dataset: str, seed: int, teaching: Teaching) -> Source:
        """Split, teacher and pool."""
        key = (dataset, seed, repr(teaching))
        if key not in self.sources:
            self.sources[key] = Source(self.split(dataset, seed), seed, teaching)
        return self.sources[key]

    def condensed(self, plan: Plan, case: Row) -> tuple[CondensedDataset, Row]:
        """The set of a case."""
        key = (plan.dataset, case["seed"], repr(plan.teaching), case["condenser"], case["ratio"])
        if key not in self.sets:
            source = self.source(plan.dataset, case["seed"], plan.teaching)
            self.sets[key] = source.condense(case["condenser"], case["ratio"])
        return self.sets[key]

    def full(self, plan: Plan, seed: int, model: str) -> Row:
        """The reference of a model."""
        split = self.split(plan.dataset, seed)
        if plan.instead:
            tuned = TUNED[plan.dataset]
            rows = [self.references.row(plan.dataset, seed, split, name, tuned[name], 1) for name in plan.instead]
            return max(rows, key=lambda row: row["ndcg@10"])
        settings = plan.models[model] if model in plan.models else TUNED[plan.dataset][model]
        return self.references.row(plan.dataset, seed, split, model, settings, plan.trials)

    def measure(self, plan: Plan, case: Row) -> Row:
        """The figures of one case."""
        seed, model = case["seed"], case["downstream_model"]
        full = self.full(plan, seed, model)
        base = self.full(plan, seed, "bprmf") if "bprmf" in plan.models else None
        condensed, seconds = self.condensed(plan, case)
        split, options = self.split(plan.dataset, seed), RunOptions(seed, "cpu")
        trained = train_and_measure(
            model, plan.models[model], condensed.interactions, split, plan.trials, options,
            None if plan.instead else as_trained(full), condensed.inductive,
        )  # fmt: skip
        saved = full["train_seconds"] - trained.history.seconds_to_best
        spent = self.source(plan.dataset, seed, plan.teaching).teacher_seconds + seconds["condense_seconds"]
        return {
            "inductive": condensed.inductive,
            "source_fingerprint": condensed.source,
            "budget": condensed.budget.n_interactions,
            "n_interactions": len(condensed),
            "n_users_condensed": int((condensed.interactions.user_degree > 0).sum()),
            "n_items_condensed": int((condensed.interactions.item_degree > 0).sum()),
            "observed_share": round(float(condensed.observed.mean()), 4),
            "valid_ndcg@10": trained.history.best_valid,
            **beside_full(trained.metrics, full),
            "reference_model": full["model"],
            "reference_quality": trained.metrics["ndcg@10"] / base["ndcg@10"] if base else None,
            "same_settings_ndcg@10": trained.same_settings["ndcg@10"],
            "same_settings_quality": trained.same_settings["ndcg@10"] / full["ndcg@10"],
            "teacher_seconds": round(self.source(plan.dataset, seed, plan.teaching).teacher_seconds, 3),
            **seconds,
            "train_seconds": round(trained.history.seconds_to_best, 4),
            "full_train_seconds": full["train_seconds"],
            "break_even": round(spent / saved, 3) if saved > 0 else None,
            "peak_rss_mb": peak_rss_mb(),
        }


def cases(plans: Sequence[Plan]) -> Iterator[tuple[Plan, Row]]:
    """Every case, with its plan."""
    return ((plan, case) for plan in plans for case in plan.cases())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("quality", __doc__)
    for name, kind in (("dataset", str), ("ratio", float), ("seed", int), ("condenser", str), ("model", str)):
        parser.add_argument(f"--{name}", type=kind, action="append", help=f"only this {name}; may be repeated")
    options = parser.parse_args(arguments)
    wanted = {"dataset": options.dataset, "ratio": options.ratio, "seed": options.seed,
              "condenser": options.condenser, "downstream_model": options.model}  # fmt: skip
    wanted = {name: values for name, values in wanted.items() if values}
    results, run = Results.named("quality", COMMAND), Run(options.data, References())
    for plan, case in cases(PLANS):
        if any(case[name] not in values for name, values in wanted.items()):
            continue
        row = results.row(case, lambda plan=plan, case=case: run.measure(plan, case))
        print(
            f"{row['dataset']} {row['ratio']:.1%} seed {row['seed']}  {row['condenser']:<16}"
            f"{row['downstream_model']:<9} NDCG@10 {row['ndcg@10']:.4f} = {row['quality']:.1%} of "
            f"{row['full_ndcg@10']:.4f}  recall@20 {row['recall_quality']:.1%}  same settings "
            f"{row['same_settings_quality']:.1%}  {row['train_seconds']:.2f} s for {row['full_train_seconds']:.1f} s",
            flush=True,
        )
    if not wanted:
        results.finish(case for _, case in cases(PLANS))


if __name__ == "__main__":
    run_main(main)
