"""``make paper-table``: the paper's whole experiment, with every baseline → quality.json and two more.

cross_architecture.json has each source beside each downstream model, folded_in.json the same sets with real users
folded in. Cheapest cells first, and a run that stops goes on where it was; then docs/results.md is made anew.
``--dataset``, ``--ratio``, ``--condenser``, ``--model``, ``--source`` and ``--seed`` measure a part. With ``--quick``
(``make paper-table QUICK=1``) the same on generated data, in a minute, into ``results/paper``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import figures, paper_page, quality, render
from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.datasets import CACHE
from benchmarks.quality import DATASETS, IDENTITY, chosen, filters, line
from benchmarks.references import References
from benchmarks.results import ROOT, Results, Row
from dconrec_core.errors import BudgetError
from dconrec_core.options import RunOptions
from dconrec_core.types import Split
from flows.params import read_params, read_preset
from tasks.comparison import Cell, Comparison
from tasks.grid import cells, cheapest_first, load_split
from tasks.params import CompareParams, Component, PipelineParams, SplitParams

COMMAND, QUICK_FOLDER = "make paper-table", ROOT / "results" / "paper"
MODELS = ("bprmf", "lightgcn", "ngcf", "xsimgcl")
RATIOS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
RIVALS = ("random-pool", "teacher-top")
BASELINES = ("dconrec-paper", *paper_page.BASELINES)
SEEDS, MORE_SEEDS = (0, 1, 2), (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Block:
    """A block of cells: every combination."""

    ratios: tuple[float, ...]
    condensers: tuple[str, ...]
    models: tuple[str, ...] = MODELS
    seeds: tuple[int, ...] = SEEDS
    sources: tuple[str, ...] = ("",)
    datasets: tuple[str, ...] = DATASETS
    fold_in: bool = False

    def cells(self, presets: dict[str, PipelineParams]) -> list[Cell]:
        """The cells of the datasets at hand."""
        mine = {name: presets[name] for name in self.datasets if name in presets}
        return cells(mine, self.ratios, self.condensers, self.models, self.seeds, self.sources, fold_in=self.fold_in)


QUALITY = (
    Block((0.25,), ("dconrec",)),
    Block((0.05, 0.25), ("dconrec", *RIVALS), ("bprmf", "lightgcn"), MORE_SEEDS),
    Block((0.05, 0.1), ("dconrec",), datasets=("ml-1m",)),
    Block((0.05, 0.1, 0.25), (*RIVALS, *BASELINES), ("bprmf", "lightgcn")),
    Block(RATIOS, ("dconrec", *RIVALS, *BASELINES), ("bprmf",)),
    Block((0.001, 0.002), ("dconrec", "random", "teacher-top"), ("bprmf",), (0,), datasets=("ml-100k",)),
)
"""quality.json: one teacher for every condenser, so that all choose from the same pool."""
TEACHERS = {"ciao": Component(name="graph-filter")}
"""Other than the presets'. Ciao's own teaches made-up users better, but of its pool for the real ones BPRMF on what
`dconrec` keeps at 25 % reaches 0.021 on valid, of the graph filter's 0.027."""
CROSS = (Block((0.25,), ("dconrec",), sources=MODELS),)
"""cross_architecture.json: the source model teaches the pool; what the condenser trains inside stays the same."""
FOLDED = (
    Block((0.25,), ("dconrec", "teacher-top", "random"), fold_in=True),
    Block((0.05, 0.1), ("dconrec",), ("bprmf", "lightgcn"), datasets=("ml-1m",), fold_in=True),
)
"""folded_in.json: the same sets, every real user folded in from the whole training history."""

QUICK_DATASET = "synthetic"
QUICK_QUALITY = (
    Block(
        (0.1, 0.25), ("dconrec", "random-pool", "teacher-top", "random"), ("bprmf",), (0, 1), datasets=("synthetic",)
    ),
)
QUICK_FOLDED = (Block((0.1,), ("dconrec", "random"), ("bprmf",), (0,), datasets=("synthetic",), fold_in=True),)
QUICK_CROSS = (Block((0.25,), ("dconrec",), ("bprmf", "lightgcn"), (0,), ("bprmf", "lightgcn"), ("synthetic",)),)


def quick_preset() -> PipelineParams:
    """Generated data, small models and one trial: seconds of everything."""
    base = read_params(ROOT)
    return base.model_copy(
        update={
            "dataset": Component(
                name="synthetic", config={"n_users": 120, "n_items": 150, "n_interactions": 5_000, "n_clusters": 4}
            ),
            "split": SplitParams(),
            "teacher": Component(name="ease"),
            "condense": base.condense.model_copy(update={"name": "dconrec", "config": {"outer_epochs": 20}}),
            "evaluate": base.evaluate.model_copy(
                update={"models": {"bprmf": {"epochs": 20}, "lightgcn": {"epochs": 20}}, "trials": 1}
            ),
            "compare": CompareParams(),
        }
    )


def unique(blocks: Sequence[Block], presets: dict[str, PipelineParams]) -> list[Cell]:
    """The cells of all blocks, each once, cheapest first."""
    found = {repr(cell.case): cell for block in blocks for cell in block.cells(presets)}
    return cheapest_first(list(found.values()))


@dataclass(frozen=True)
class Experiment:
    """What is measured, and where it is kept.

    Args:
        presets: Settings by dataset.
        quality: Cells of quality.json.
        cross: Cells of cross_architecture.json.
        folded: Cells of folded_in.json.
        folder: Of the results files; that of the benchmarks by default.
    """

    presets: dict[str, PipelineParams]
    quality: list[Cell]
    cross: list[Cell]
    folded: list[Cell]
    folder: Path | None = None

    @classmethod
    def full(cls) -> "Experiment":
        """The paper's."""
        presets = {name: read_preset(ROOT, name) for name in DATASETS}
        for name, teacher in TEACHERS.items():
            presets[name] = presets[name].model_copy(update={"teacher": teacher})
        return cls(presets, unique(QUALITY, presets), unique(CROSS, presets), unique(FOLDED, presets))

    @classmethod
    def quick(cls, folder: Path) -> "Experiment":
        """The small version."""
        presets = {QUICK_DATASET: quick_preset()}
        parts = (unique(blocks, presets) for blocks in (QUICK_QUALITY, QUICK_CROSS, QUICK_FOLDED))
        return cls(presets, *parts, folder)

    def results(self, name: str, identity: tuple[str, ...] = (), apart_from: tuple[str, ...] = ()) -> Results:
        """A results file."""
        if self.folder:
            return Results(self.folder / f"{name}.json", f"{COMMAND} QUICK=1", apart_from, identity)
        return Results.named(name, COMMAND, apart_from, identity)

    def files(self) -> dict[str, tuple[Results, Sequence[Cell]]]:
        """Each part's file and cells; of a cell that was searched differently before the new row alone is kept."""
        return {
            "quality": (self.results("quality", IDENTITY), self.quality),
            "cross": (self.results("cross_architecture", (*IDENTITY, "source_model")), self.cross),
            "folded": (self.results("folded_in", IDENTITY), self.folded),
        }

    def comparison(self, data: Path) -> Comparison:
        """What measures."""

        def load(dataset: str, seed: int) -> Split:
            return load_split(self.presets[dataset], seed, CACHE, data, RunOptions())

        references = (
            References(lambda apart_from: self.results("full", (), apart_from)) if self.folder else References()
        )
        return Comparison(load, references)


def measure(cells: Sequence[Cell], results: Results, comparison: Comparison) -> Iterator[Row]:
    """The rows of all cells; one whose budget its condenser cannot keep is named and left out."""
    for position, cell in enumerate(cells, 1):
        try:
            row = results.row(cell.case, partial(comparison.measure, cell))
        except BudgetError as error:
            print(f"[{position}/{len(cells)}] {cell.name}: left out, {error}", flush=True)
            continue
        print(f"[{position}/{len(cells)}] {cell.source_model or '–':<9}{line(row)}", flush=True)
        yield row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the page."""
    parser = parser_of("paper", __doc__)
    filters(parser)
    parser.add_argument("--source", action="append", help="only this source model of the 4 × 4 table; may be repeated")
    parser.add_argument("--quick", action="store_true", help="generated data, a minute")
    parts = ("quality", "cross", "folded", "page")
    parser.add_argument("--only", choices=parts, help="one results file, or the page alone")
    options = parser.parse_args(arguments)
    one_core()
    experiment = Experiment.quick(QUICK_FOLDER) if options.quick else Experiment.full()
    comparison = experiment.comparison(options.data)
    for name, (results, everything) in experiment.files().items():
        if options.only in (None, name):
            sources = options.source if name == "cross" else None
            mine = [cell for cell in chosen(everything, options) if not sources or cell.source in sources]
            measured = sum(1 for _ in measure(mine, results, comparison))
            print(f"{measured} of {len(mine)} rows in {results.path.name}", flush=True)
            if len(mine) == len(everything) and not options.quick:
                others = quality.cells(quality.PLANS) if name == "quality" else ()
                results.forget([cell.case for cell in (*everything, *others)])
    if options.quick:
        print(f"wrote {paper_page.write(QUICK_FOLDER)}")
    else:
        figures.write_all()
        render.main([])


if __name__ == "__main__":
    run_main(main)
