"""``make bench-select``: choosing models and settings on condensed sets beside choosing on all data → selection.json.

One row a training (``kind``: ``configuration``), full data once a dataset and seed, and one row a condensed set
(``kind``: ``selection``) with Kendall's τ, the regret and the seconds of both sides (docs/selection.md).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.datasets import load_split
from benchmarks.quality import STRONG
from benchmarks.quality import Source as Taught
from benchmarks.results import Results, Row
from dconrec_core.condensation import CONDENSERS
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.selection import (
    GRID,
    Configuration,
    Grid,
    Measured,
    configurations,
    rank_agreement,
    train_once,
)
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Split

DATASETS: tuple[str, ...] = ("ml-100k", "ml-1m")
RATIOS: tuple[float, ...] = (0.005, 0.05)
CONDENSERS_TRIED: tuple[str, ...] = ("synthetic-users", "random-users")
SEEDS: tuple[int, ...] = (0, 1, 2)
COMMAND = "make bench-select"

MakeSet = Callable[[str, CandidatePool, Split, float, int], CondensedDataset]
"""From a condenser's name, the pool, the split, the ratio and the seed to a condensed set."""


def condense(condenser: str, pool: CandidatePool, split: Split, ratio: float, seed: int) -> CondensedDataset:
    """The set of a registered condenser with its default settings.

    Raises:
        ConfigError: There is no such condenser.
    """
    entry = lookup(CONDENSERS, condenser, "--condensers")
    options = RunOptions(seed, "cpu", condenser)
    return entry.build(entry.config_class()).condense(pool, split.valid, Budget.from_ratio(ratio, split.train), options)


class Source:
    """One dataset under one seed, its pool and condensed sets made when first needed.

    Args:
        name: Of the dataset.
        data: Folder of its files.
        seed: Of split, teacher, condensation and trainings.
        make_set: Makes a condensed set.
    """

    def __init__(self, name: str, data: Path, seed: int, make_set: MakeSet) -> None:
        self.name, self.seed, self.make_set = name, seed, make_set
        self.split = load_split(name, data, seed)
        self.pool: CandidatePool | None = None
        self.sets: dict[tuple[str, float], CondensedDataset] = {}

    def condensed(self, condenser: str, ratio: float) -> CondensedDataset:
        """The set of a condenser at a ratio."""
        if (condenser, ratio) not in self.sets:
            if self.pool is None:
                self.pool = Taught(self.split, self.seed, STRONG).pool
            self.sets[condenser, ratio] = self.make_set(condenser, self.pool, self.split, ratio, self.seed)
        return self.sets[condenser, ratio]

    def case(self, configuration: Configuration, condenser: str, ratio: float) -> Row:
        """Everything that determines a training; ratio 1 is full data, and no condenser's."""
        return {
            **{"kind": "configuration", "dataset": self.name, "ratio": ratio, "condenser": condenser},
            **{"seed": self.seed, "configuration": configuration.name, "model": configuration.model},
            "settings": {"configuration": dict(configuration.settings), **_settings(self.split, condenser)},
        }

    def measure(self, configuration: Configuration, condenser: str, ratio: float) -> Row:
        """One training."""
        train, inductive = self.split.train, False
        if condenser:
            made = self.condensed(condenser, ratio)
            train, inductive = made.interactions, made.inductive
        seen = train_once(configuration, train, self.split, RunOptions(self.seed, "cpu"), inductive)
        return {"inductive": inductive, "n_interactions": len(train), **asdict(seen)}


def _settings(split: Split, condenser: str) -> dict[str, Any]:
    made = {"teaching": vars(STRONG)} if condenser else {}
    return {"source": split.train.fingerprint(), **made}


def measured(row: Mapping[str, Any]) -> Measured:
    """What a row of a training holds."""
    return Measured(**{name: row[name] for name in Measured.__dataclass_fields__})


class Benchmark:
    """Measures what is missing, and remembers in which order everything was asked for.

    Args:
        results: Where rows are kept.
        grid: The configurations.
    """

    def __init__(self, results: Results, grid: Grid) -> None:
        self.results, self.configurations = results, configurations(grid, "GRID")
        self.cases: list[Row] = []

    def compare(self, source: Source, condenser: str, ratio: float) -> Row:
        """Train every configuration on both sides in turn, full data once for all sets of a seed, and compare."""
        sides: tuple[dict[str, Measured], dict[str, Measured]] = {}, {}
        facts: Row = {}
        for one in self.configurations:
            for side, (name, share) in zip(sides, ((condenser, ratio), ("", 1.0)), strict=True):
                case = source.case(one, name, share)
                row = self._row(case, partial(source.measure, one, name, share))
                side[one.name] = measured(row)
                facts = row if name else facts
        found = asdict(rank_agreement(*sides))
        facts = {name: facts[name] for name in ("inductive", "n_interactions")}
        case = {
            **{"kind": "selection", "dataset": source.name, "ratio": ratio, "condenser": condenser},
            **{"seed": source.seed, "settings": {"of": [one.name for one in self.configurations]}},
            "source": source.split.train.fingerprint()[:16],
        }
        return self._row(case, lambda: {**facts, **found})

    def _row(self, case: Row, measure: Callable[[], Row]) -> Row:
        self.cases.append(case)
        return self.results.row(case, measure)


def sources(datasets: Sequence[str], seeds: Sequence[int], data: Path, make_set: MakeSet) -> Iterator[Source]:
    """Every dataset under every seed."""
    for dataset in datasets:
        for seed in seeds:
            yield Source(dataset, data, seed, make_set)


def main(arguments: Sequence[str] | None = None, make_set: MakeSet = condense, grid: Grid = GRID) -> None:
    """Measure what is missing and print a line a condensed set."""
    parser = parser_of("selection", __doc__)
    parser.add_argument("--condensers", nargs="+", default=list(CONDENSERS_TRIED), help="whose sets are tried")
    parser.add_argument("--dataset", action="append", help="only this dataset; may be repeated")
    parser.add_argument("--ratio", type=float, action="append", help="only this ratio; may be repeated")
    parser.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    options = parser.parse_args(arguments)
    one_core()
    benchmark = Benchmark(Results.named("selection", COMMAND), grid)
    for source in sources(options.dataset or DATASETS, options.seed or SEEDS, options.data, make_set):
        for condenser in options.condensers:
            for ratio in options.ratio or RATIOS:
                print(_line(benchmark.compare(source, condenser, ratio)), flush=True)
    if not (options.dataset or options.ratio or options.seed) and options.condensers == list(CONDENSERS_TRIED):
        benchmark.results.finish({benchmark.results.key(case): case for case in benchmark.cases}.values())


def _line(row: Row) -> str:
    tau, regret = (f"{row[name]:.3f}" if row[name] is not None else "–" for name in ("kendall_tau", "regret"))
    return (
        f"{row['dataset']}  {row['condenser']:<16} {row['ratio']:.2%}  seed {row['seed']}  tau {tau}  regret {regret}  "
        f"{row['seconds_condensed']:.1f} s for {row['seconds_full']:.1f} s  chosen {row['chosen']}, best {row['best']}"
    )


if __name__ == "__main__":
    run_main(main)
