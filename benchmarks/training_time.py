"""``make bench-training-time``: training on the paper's budget and on full data, timed in turn → training_time.json.

A quarter of MovieLens-1M by ``dconrec``. Each side is tuned on valid by the same search; then the chosen trainings run
again, condensed, full, condensed, full. Two clocks: until a side's own best look at valid, and until a look is first
as good as 98 % of the best that full data reach. ``--model`` and ``--seed`` measure a part.
"""

from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.paper import MODELS, Experiment
from benchmarks.quality import IDENTITY
from benchmarks.references import as_trained
from benchmarks.results import Results, Row
from benchmarks.timed_training import TimedTraining, timed_training
from dconrec_core.comparison import train_and_measure
from dconrec_core.errors import ConfigError
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import RunOptions
from tasks.comparison import Cell, Comparison

COMMAND, DATASET, RATIO, CONDENSER = "make bench-training-time", "ml-1m", 0.25, "dconrec"
SEEDS, REPETITIONS, SHARE = (0, 1, 2), 2, 0.98


def measure(comparison: Comparison, cell: Cell, repetitions: int) -> Row:
    """One model under one seed."""
    full, split = as_trained(comparison.full(cell)), comparison.split(cell.dataset, cell.seed)
    condensed, _ = comparison.condensed(cell)
    train, options = condensed.interactions, RunOptions(cell.seed, "cpu")
    trained = train_and_measure(cell.model, cell.settings, train, split, cell.trials, options, full)
    valid = RankingTask.valid(split.train, split.valid)
    sides = [(trained.config, train), (full.config, split.train)]
    turns = [[timed_training(cell.model, *side, valid, options) for side in sides] for _ in range(repetitions)]
    ours, theirs = ([turn[place] for turn in turns] for place in range(2))
    return {
        "n_train": len(split.train),
        "n_interactions": len(condensed),
        "quality": trained.metrics["ndcg@10"] / full.metrics["ndcg@10"],
        **beside(ours, theirs),
    }


def beside(ours: Sequence[TimedTraining], theirs: Sequence[TimedTraining]) -> Row:
    """Both clocks of the same training repeated on the set (``ours``) and on full data."""
    wanted = SHARE * theirs[0].history.best_valid
    best = [median(one.history.seconds_to_best for one in side) for side in (ours, theirs)]
    reached = [_median([one.seconds_to(wanted) for one in side]) for side in (ours, theirs)]
    assert reached[1] is not None  # full data do reach 98 % of themselves
    return {
        "valid_quality": ours[0].history.best_valid / theirs[0].history.best_valid,
        "best_epoch": ours[0].history.best_epoch,
        "full_best_epoch": theirs[0].history.best_epoch,
        "train_seconds": round(best[0], 4),
        "full_train_seconds": round(best[1], 4),
        "speed_up": round(best[1] / best[0], 3),
        "seconds_to_share": None if reached[0] is None else round(reached[0], 4),
        "full_seconds_to_share": round(reached[1], 4),
        "speed_up_to_share": None if reached[0] is None else round(reached[1] / reached[0], 3),
    }


def _median(seconds: Sequence[float | None]) -> float | None:
    """Repetitions of a training are the same training, so all reach a figure or none does."""
    known = [one for one in seconds if one is not None]
    return median(known) if known else None


def cell_of(experiment: Experiment, model: str, seed: int) -> Cell:
    """The cell of ``make paper-table`` that is timed.

    Raises:
        ConfigError: It has none under that seed.
    """
    mine = {
        cell.seed: cell
        for cell in experiment.quality
        if (cell.dataset, cell.ratio, cell.condenser, cell.model) == (DATASET, RATIO, CONDENSER, model)
    }
    if seed not in mine:
        raise ConfigError(f"--seed is {seed}; {model} has the seeds {', '.join(map(str, sorted(mine)))}")
    return mine[seed]


def line(row: Row) -> str:
    """What a row says, for the console."""
    to_share = "never" if row["speed_up_to_share"] is None else f"{row['speed_up_to_share']:.1f} ×"
    return (
        f"{row['downstream_model']:<9} seed {row['seed']}  {row['quality']:.1%} of full data's NDCG@10, to the best "
        f"look at valid {row['train_seconds']:.2f} s for {row['full_train_seconds']:.1f} s = {row['speed_up']:.1f} ×, "
        f"to {SHARE:.0%} of full data's best {to_share}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("training_time", __doc__)
    parser.add_argument("--model", action="append", choices=MODELS, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    options = parser.parse_args(arguments)
    one_core()
    experiment, results = Experiment.full(), Results.named("training_time", COMMAND, identity=IDENTITY)
    comparison = experiment.comparison(options.data)
    cells = [cell_of(experiment, model, seed) for model in options.model or MODELS for seed in options.seed or SEEDS]
    for cell in cells:
        case = {**cell.case, "repetitions": REPETITIONS, "share": SHARE}
        print(line(results.row(case, partial(measure, comparison, cell, REPETITIONS))), flush=True)


if __name__ == "__main__":
    run_main(main)
