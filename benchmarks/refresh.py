"""``make bench-refresh``: the newest interactions arrive; condense anew or go on from the last set → refresh.json.

The latest 1, 2 and 5 % of the interactions are the increment. The last champion is condensed, cold, from what was there
before. Then all of it is condensed twice from one teacher: cold, and warm from that champion. Each set trains the same
downstream model, with its settings for the dataset; all are measured on one test part. Splits are by time: a random one
is dealt anew when data arrive, and an earlier set would have learned from what is now asked. Seconds are
processor time, which other work on the machine leaves alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.command_line import parser_of, run_main
from benchmarks.datasets import THRESHOLD, prepared
from benchmarks.quality import TUNED, Source, Teaching
from benchmarks.results import Results, Row
from dconrec_core.comparison import Trained, search, train_best
from dconrec_core.condensation.synthetic_users import SyntheticUsersConfig
from dconrec_core.condensation.warm import STEPS_SHARE, Earlier, WarmSyntheticUsers
from dconrec_core.errors import DataError
from dconrec_core.options import RunOptions
from dconrec_core.splitting import temporal_split
from dconrec_core.types import Budget, CondensedDataset, Split

COMMAND, CONDENSER = "make bench-refresh", "synthetic-users"
RATIOS = {"ml-1m": 0.005, "ml-100k": 0.05}
INCREMENTS, SEEDS, MODELS, TEACHING = (0.01, 0.02, 0.05), (0, 1, 2), ("ridge", "bprmf"), Teaching()


class Refresh:
    """One dataset, increment and seed.

    Args:
        dataset: Name of the source.
        share: Of the interactions that are new, the latest.
        seed: Of the teacher and the condensation.
        data: Folder of the files.
    """

    def __init__(self, dataset: str, share: float, seed: int, data: Path) -> None:
        self.dataset, self.seed, self.ratio = dataset, seed, RATIOS[dataset]
        source = prepared(dataset, data, THRESHOLD)
        if source.timestamps is None:
            raise DataError(f"{dataset} in {data} has no timestamps, and what is new is told by them; use its archive")
        everything = source.interactions
        new = np.zeros(len(everything), dtype=bool)
        new[np.argsort(source.timestamps, kind="stable")[len(new) - round(share * len(new)) :]] = True
        before = temporal_split(everything.take(~new), source.timestamps[~new], 0.1, 0.1)
        champion, _ = Source(before, seed, TEACHING).condense(CONDENSER, self.ratio)
        self.split: Split = temporal_split(everything, source.timestamps, 0.1, 0.1)
        started = process_time()
        self.now = Source(self.split, seed, TEACHING)
        taught = process_time()
        cold, _ = self.now.condense(CONDENSER, self.ratio)
        condensed = process_time()
        earlier = Earlier.of(champion, np.arange(everything.n_items, dtype=np.int32), everything.n_items)
        warm = WarmSyntheticUsers(SyntheticUsersConfig(), earlier).condense(
            self.now.pool, self.split.valid, Budget.from_ratio(self.ratio, self.split.train), RunOptions(seed, "cpu")
        )
        warmed = process_time()
        self.seconds = {"teacher": taught - started, "cold": condensed - taught, "warm": warmed - condensed}
        self.sets: dict[str, CondensedDataset] = {"cold": cold, "warm": warm, "stale": champion}

    def measure(self, model: str) -> Row:
        """NDCG@10 on test of a model of each set; ``stale`` is the champion as it was."""
        figures = {f"{side}_ndcg@10": self._train(model, made).metrics["ndcg@10"] for side, made in self.sets.items()}
        cold, warm, teacher = (self.seconds[name] for name in ("cold", "warm", "teacher"))
        return {
            **figures,
            "quality": figures["warm_ndcg@10"] / figures["cold_ndcg@10"],
            "cold_cpu_seconds": round(cold, 3),
            "warm_cpu_seconds": round(warm, 3),
            "teacher_cpu_seconds": round(teacher, 3),
            "time_share": warm / cold,
            "time_share_with_teacher": (warm + teacher) / (cold + teacher),
        }

    def _train(self, model: str, condensed: CondensedDataset) -> Trained:
        candidates = search(model, TUNED[self.dataset][model], 1)
        options = RunOptions(self.seed, "cpu")
        return train_best(
            model, candidates, condensed.interactions, self.split, options, inductive=True, where=f"refresh.{model}"
        )


def cases(datasets: tuple[str, ...] = tuple(RATIOS)) -> Iterator[Row]:
    """Everything that determines a row."""
    for dataset in datasets:
        for seed in SEEDS:
            for share in INCREMENTS:
                for model in MODELS:
                    yield {
                        "dataset": dataset,
                        "ratio": RATIOS[dataset],
                        "split": "temporal",
                        "increment": share,
                        "seed": seed,
                        "downstream_model": model,
                        "steps_share": STEPS_SHARE,
                        "settings": dict(TUNED[dataset][model]),
                        "teaching": vars(TEACHING),
                    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing."""
    parser = parser_of("refresh", __doc__)
    parser.add_argument("--dataset", action="append", choices=tuple(RATIOS), help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    results, measured = Results.named("refresh", COMMAND), dict[tuple[str, float, int], Refresh]()
    for case in cases(tuple(options.dataset or RATIOS)):
        key = (case["dataset"], case["increment"], case["seed"])

        def measure(case: Row = case, key: tuple[str, float, int] = key) -> Row:
            if key not in measured:
                measured.clear()  # one at a time in memory
                measured[key] = Refresh(*key, options.data)
            return measured[key].measure(case["downstream_model"])

        row = results.row(case, measure)
        print(
            f"{row['dataset']} +{row['increment']:.0%} seed {row['seed']} {row['downstream_model']}: warm "
            f"{row['warm_ndcg@10']:.4f} in {row['warm_cpu_seconds']} s, cold {row['cold_ndcg@10']:.4f} in "
            f"{row['cold_cpu_seconds']} s, unchanged {row['stale_ndcg@10']:.4f}",
            flush=True,
        )
    if not options.dataset:
        results.finish(cases())


if __name__ == "__main__":
    run_main(main)
