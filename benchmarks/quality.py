"""``make bench-quality``: dconrec and the baselines at a true 25 % of MovieLens-100K, three seeds → quality.json.

A seed changes the split, the teacher, the condensation and the initialisation. Every training set, full data included,
is tuned on valid by the same search; test is read once per figure (docs/evaluation.md).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.datasets import interactions
from benchmarks.results import Results, Row, peak_rss_mb
from dconrec_core.comparison import Trained, train_and_measure
from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.augment import build_pool
from dconrec_core.errors import DConRecError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.splitting import random_split
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split

DATASET, THRESHOLD, RATIO, SEEDS, TRIALS = "ml-100k", 3.0, 0.25, (0, 1, 2), 4
TEACHER: tuple[str, dict[str, Any]] = ("ease", {"regularization": [100.0]})
PSEUDO_RATIO, MIN_PSEUDO = 0.3, 5
MODELS_TRAINED = ("bprmf", "lightgcn")
CONDENSERS_TRIED = ("dconrec", "dconrec-paper", "teacher-top", "random-pool", "random", "popularity")
COMMAND = "make bench-quality"


class Source:
    """One dataset under one seed: split, teacher and candidate pool, made when first needed.

    Args:
        interactions: Everything observed.
        seed: Of split, teacher and pool.
    """

    def __init__(self, interactions: Interactions, seed: int) -> None:
        self.seed, self.options = seed, RunOptions(seed=seed, device="cpu")
        self.split: Split = random_split(interactions, 0.1, 0.1, seed)
        started = time.perf_counter()
        name, config = TEACHER
        teacher = MODELS[name].build(MODELS[name].configure("teacher.config", config))
        teacher.fit(self.split.train, RankingTask.valid(self.split.train, self.split.valid), self.options)
        self.pool: CandidatePool = build_pool(teacher.score, self.split.train, PSEUDO_RATIO, MIN_PSEUDO, self.options)
        self.teacher_seconds = time.perf_counter() - started

    def condense(self, condenser: str) -> tuple[CondensedDataset, Row]:
        """A condensed set, and the seconds it took: in all, and an outer epoch in the median."""
        ticks: list[float] = []

        def tick(event: EpochEvent, /) -> None:
            ticks.append(time.perf_counter())

        entry, started = CONDENSERS[condenser], time.perf_counter()
        options = RunOptions(self.seed, "cpu", condenser, tick)
        budget = Budget.from_ratio(RATIO, self.split.train)
        condensed = entry.build(entry.config_class()).condense(self.pool, self.split.valid, budget, options)
        seconds: Row = {"condense_seconds": round(time.perf_counter() - started, 3)}
        gaps = sorted(after - before for before, after in pairwise(ticks))
        if gaps:
            seconds["outer_epoch_seconds"] = round(gaps[len(gaps) // 2], 4)
        return condensed, seconds

    def train(self, model: str, interactions: Interactions, full: Trained | None = None) -> Trained:
        """Tune on valid, measure on test."""
        return train_and_measure(model, {}, interactions, self.split, TRIALS, self.options, full)


def cases() -> Iterator[Row]:
    """Everything that determines a row, beside code and versions."""
    for seed in SEEDS:
        for condenser in CONDENSERS_TRIED:
            for model in MODELS_TRAINED:
                yield {
                    "dataset": DATASET,
                    "ratio": RATIO,
                    "condenser": condenser,
                    "source_model": "bprmf" if condenser.startswith("dconrec") else "",
                    "downstream_model": model,
                    "inductive": False,
                    "seed": seed,
                    "trials": TRIALS,
                    "settings": {"teacher": TEACHER, "pseudo": [PSEUDO_RATIO, MIN_PSEUDO], "threshold": THRESHOLD},
                }


class Run:
    """Measures rows, and keeps what several of them share: the source of a seed, its full-data trainings, the sets."""

    def __init__(self, data: Path) -> None:
        self.interactions = interactions(DATASET, data, THRESHOLD)
        self.sources: dict[int, Source] = {}
        self.sets: dict[tuple[int, str], tuple[CondensedDataset, Row]] = {}
        self.full: dict[tuple[int, str], Trained] = {}

    def measure(self, case: Row) -> Row:
        """The figures of one case."""
        seed, model, condenser = case["seed"], case["downstream_model"], case["condenser"]
        if seed not in self.sources:
            self.sources[seed] = Source(self.interactions, seed)
        source = self.sources[seed]
        if (seed, condenser) not in self.sets:
            self.sets[seed, condenser] = source.condense(condenser)
        for needed in {"bprmf", model} - {known for of, known in self.full if of == seed}:
            self.full[seed, needed] = source.train(needed, source.split.train)
        condensed, seconds = self.sets[seed, condenser]
        full, reference = self.full[seed, model], self.full[seed, "bprmf"]
        trained = source.train(model, condensed.interactions, full)
        return {
            "source_fingerprint": condensed.source,
            "budget": condensed.budget.n_interactions,
            "n_interactions": len(condensed),
            "n_users_condensed": int((condensed.interactions.user_degree > 0).sum()),
            "observed_share": round(float(condensed.observed.mean()), 4),
            "ndcg@10": trained.metrics["ndcg@10"],
            "recall@20": trained.metrics["recall@20"],
            "full_ndcg@10": full.metrics["ndcg@10"],
            "full_recall@20": full.metrics["recall@20"],
            "quality": trained.metrics["ndcg@10"] / full.metrics["ndcg@10"],
            "reference_quality": trained.metrics["ndcg@10"] / reference.metrics["ndcg@10"],
            "recall_quality": trained.metrics["recall@20"] / full.metrics["recall@20"],
            "same_settings_ndcg@10": trained.same_settings["ndcg@10"],
            "weight_decay": trained.config["weight_decay"],
            "full_weight_decay": full.config["weight_decay"],
            "teacher_seconds": round(source.teacher_seconds, 3),
            **seconds,
            "train_seconds": round(trained.history.seconds_to_best, 3),
            "full_train_seconds": round(full.history.seconds_to_best, 3),
            "peak_rss_mb": peak_rss_mb(),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/input"), help="folder of the datasets' files")
    options = parser.parse_args(arguments)
    results, run = Results.named("quality", COMMAND), Run(options.data)
    for case in cases():
        row = results.row(case, lambda case=case: run.measure(case))
        print(
            f"seed {row['seed']}  {row['condenser']:<14}{row['downstream_model']:<9} NDCG@10 {row['ndcg@10']:.4f} "
            f"= {row['quality']:.1%} of {row['full_ndcg@10']:.4f}  recall@20 {row['recall@20']:.4f}  "
            f"{row['train_seconds']:.1f} s for {row['full_train_seconds']:.1f} s",
            flush=True,
        )
    results.finish(cases())


if __name__ == "__main__":
    try:
        main()
    except (DConRecError, OSError) as error:
        sys.exit(f"error: {error}")
