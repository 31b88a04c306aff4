"""``make bench-quality``: sets of whole users beside full data, three seeds → quality.json (resumable).

A seed changes the split, the teacher, the condensation and the initialisation. Every training set, full data included,
is tuned on valid by the same number of trials; test is read once per figure (docs/evaluation.md). ``--dataset``,
``--ratio``, ``--seed``, ``--condenser`` and ``--model`` measure a part.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.datasets import load_split
from benchmarks.references import References
from benchmarks.results import ROOT, Results, Row
from dconrec_core.condensation import CONDENSERS
from dconrec_core.models import MODELS
from flows.params import read_preset
from tasks.comparison import Cell, Comparison, Settings, Source, Teaching, beside_full
from tasks.grid import model_settings

__all__ = ["CONDENSERS", "PLANS", "TUNED", "Plan", "Run", "Source", "Teaching", "beside_full", "cells"]

COMMAND = "make bench-quality"
IDENTITY = ("dataset", "ratio", "condenser", "downstream_model", "seed")
"""One row each in ``quality.json``; ``make paper-table`` adds its own there (benchmarks/paper.py)."""


@dataclass(frozen=True)
class Plan:
    """A block of rows: condensers × models × ratios × seeds on one dataset.

    Args:
        dataset: Name in ``benchmarks.datasets``.
        ratios: Budgets.
        condensers: Names in ``CONDENSERS``.
        models: Downstream models, with settings that both sides have.
        teaching: The pool.
        trials: Size of each search, where it is not that of the preset.
        seeds: Seeds.
        instead: Models of full data, one trial each, the best of which is the reference of a model that full data are
            too large for; by default each model is compared with itself.
    """

    dataset: str
    ratios: tuple[float, ...]
    condensers: tuple[str, ...]
    models: Mapping[str, Settings]
    teaching: Teaching
    trials: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    instead: tuple[str, ...] = ()

    def cells(self) -> Iterator[Cell]:
        """Every cell, those that share a condensed set side by side."""
        for ratio in self.ratios:
            for seed in self.seeds:
                for condenser in self.condensers:
                    for model in self.models:
                        yield self.cell(ratio, condenser, model, seed)

    def cell(self, ratio: float, condenser: str, model: str, seed: int) -> Cell:
        """One of them, or another with the same teaching and trials."""
        tuned = TUNED.get(self.dataset, {})
        return Cell(
            dataset=self.dataset,
            ratio=ratio,
            condenser=condenser,
            model=model,
            seed=seed,
            teaching=self.teaching,
            settings=self.models[model] if model in self.models else tuned[model],
            trials=self.trials or TRIALS[self.dataset][model],
            beside={name: tuned[name] for name in self.instead},
            base=self.models.get("bprmf"),
            base_trials=self.trials or TRIALS[self.dataset]["bprmf"],
        )


DATASETS = ("ml-100k", "ml-1m", "gowalla", "ciao")
PRESETS = {name: read_preset(ROOT, name) for name in DATASETS}
TUNED: Mapping[str, Mapping[str, Settings]] = {
    name: {model: model_settings(preset, model) for model in MODELS} for name, preset in PRESETS.items()
}
"""Settings found on valid for full data; the search is around them, on both sides."""
TRIALS: Mapping[str, Mapping[str, int]] = {
    name: {model: preset.evaluate.trials_of(model) for model in MODELS} for name, preset in PRESETS.items()
}
"""Sizes of the searches."""


def _models(dataset: str, *names: str) -> Mapping[str, Settings]:
    return {name: TUNED[dataset][name] for name in names}


STRONG, WIDE = Teaching(), Teaching("graph-filter")
"""EASE; and where the square of the items is too large, a graph filter."""
FEW_USERS = Teaching("ridge", PRESETS["ciao"].teacher.config)
"""Of a wide catalogue with few enough users to invert the square of them: NDCG@10 of 0.030 on valid of Ciao, where the
filter has 0.028."""
PLANS = (
    Plan("ml-1m", (0.005,), ("synthetic-users", "random-users"), _models("ml-1m", "bprmf", "lightgcn", "ease", "ridge"),
         STRONG, trials=3),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "bprmf", "lightgcn", "ease", "ridge"), STRONG,
         trials=3),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "ngcf"), STRONG),
    Plan("ml-1m", (0.01, 0.05), ("synthetic-users",), _models("ml-1m", "xsimgcl"), STRONG),
    Plan("ml-100k", (0.005, 0.01, 0.05), ("synthetic-users", "random-users"),
         _models("ml-100k", "bprmf", "lightgcn", "ease", "ridge"), STRONG),
    Plan("ciao", (0.005, 0.05), ("synthetic-users", "random-users"), _models("ciao", "bprmf", "ridge"), FEW_USERS,
         trials=3),
    Plan("ciao", (0.25,), ("synthetic-users",), _models("ciao", "bprmf", "ridge"), FEW_USERS, trials=3),
    Plan("ciao", (0.005, 0.05), ("synthetic-users",), _models("ciao", "lightgcn"), FEW_USERS, trials=1),
    Plan("gowalla", (0.005, 0.05), ("synthetic-users",), _models("gowalla", "bprmf", "lightgcn"), WIDE),
    Plan("gowalla", (0.005, 0.05, 0.25), ("synthetic-users",), _models("gowalla", "ridge"), WIDE, trials=3,
         instead=("bprmf", "lightgcn")),
    Plan("ml-100k", (0.001, 0.002, 0.02, 0.1), ("synthetic-users", "random-users"), _models("ml-100k", "bprmf"),
         STRONG, seeds=(0,)),
    Plan("ml-1m", (0.001, 0.002, 0.02), ("synthetic-users", "random-users"), _models("ml-1m", "bprmf"), STRONG,
         seeds=(0,), trials=3),
    Plan("ml-100k", (0.25,), ("synthetic-users", "random-users"), _models("ml-100k", "bprmf"), STRONG, seeds=(0,)),
    Plan("ml-1m", (0.1, 0.25), ("synthetic-users",), _models("ml-1m", "bprmf"), STRONG, seeds=(0,), trials=3),
    Plan("ml-1m", (0.01, 0.05, 0.1, 0.25), ("random-users",), _models("ml-1m", "bprmf"), STRONG, seeds=(0,), trials=3),
    Plan("ciao", (0.001, 0.002, 0.01, 0.02, 0.1), ("synthetic-users", "random-users"), _models("ciao", "bprmf"),
         FEW_USERS, seeds=(0,)),
    Plan("gowalla", (0.001, 0.002, 0.01, 0.02, 0.1, 0.25), ("synthetic-users",), _models("gowalla", "bprmf"), WIDE,
         seeds=(0,)),
)  # fmt: skip


class Run(Comparison):
    """Measures rows of plans.

    Args:
        data: Folder of the datasets' files.
        references: Full data.
    """

    def __init__(self, data: Path, references: References) -> None:
        super().__init__(lambda dataset, seed: load_split(dataset, data, seed), references)


def cells(plans: Sequence[Plan]) -> Iterator[Cell]:
    """Every cell of every plan."""
    return (cell for plan in plans for cell in plan.cells())


def filters(parser: ArgumentParser) -> None:
    """The options that measure a part."""
    for name, kind in (("dataset", str), ("ratio", float), ("seed", int), ("condenser", str), ("model", str)):
        parser.add_argument(f"--{name}", type=kind, action="append", help=f"only this {name}; may be repeated")


def chosen(cells: Iterable[Cell], options: Namespace) -> Iterator[Cell]:
    """The cells that the options of ``filters`` leave."""
    wanted = {name: getattr(options, name) for name in ("dataset", "ratio", "seed", "condenser", "model")}
    return (cell for cell in cells if all(getattr(cell, name) in values for name, values in wanted.items() if values))


def line(row: Row) -> str:
    """What a row says, for the console."""
    return (
        f"{row['dataset']} {row['ratio']:.1%} seed {row['seed']}  {row['condenser']:<16}"
        f"{row['downstream_model']:<9} NDCG@10 {row['ndcg@10']:.4f} = {row['quality']:.1%} of "
        f"{row['full_ndcg@10']:.4f}  recall@20 {row['recall_quality']:.1%}  same settings "
        f"{row['same_settings_quality']:.1%}  {row['train_seconds']:.2f} s for {row['full_train_seconds']:.1f} s"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("quality", __doc__)
    filters(parser)
    options = parser.parse_args(arguments)
    one_core()
    results, run = Results.named("quality", COMMAND, identity=IDENTITY), Run(options.data, References())
    for cell in chosen(cells(PLANS), options):
        print(line(results.row(cell.case, partial(run.measure, cell))), flush=True)


if __name__ == "__main__":
    run_main(main)
