"""``make headline``: 0.5 % of MovieLens-1M against all of it, from the ratings on → headline.json.

For each seed: split, teacher, condensation; the recommender tuned on valid on either side by the same number of trials;
both measured on test; then the chosen trainings again in turn, C T C T C T, for the speed-up. Rows that are in the file
and still true are shown as they are; ``--fresh`` measures them, and full data, anew.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.quality import PLANS, TUNED, Plan, Run, beside_full
from benchmarks.references import References, as_trained
from benchmarks.results import Results, Row
from benchmarks.timed_training import timed_training
from dconrec_core.comparison import train_and_measure
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import RunOptions

COMMAND, DATASET, RATIO, CONDENSER, REPETITIONS = "make headline", "ml-1m", 0.005, "synthetic-users", 3


def headline(run: Run, plan: Plan, ratio: float, model: str, seed: int, repetitions: int) -> Row:
    """One seed: both sides' figures, what condensing took, and the trainings timed in turn."""
    split, options = run.split(plan.dataset, seed), RunOptions(seed, "cpu")
    cell = plan.cell(ratio, CONDENSER, model, seed)
    condensed, seconds = run.condensed(cell)
    full = as_trained(run.full(cell))
    trained = train_and_measure(
        model, cell.settings, condensed.interactions, split, cell.trials, options, full, condensed.inductive
    )
    tasks = [RankingTask.valid(split.train, split.valid, inductive) for inductive in (condensed.inductive, False)]
    sides = [(trained.config, condensed.interactions, tasks[0]), (full.config, split.train, tasks[1])]
    times = [
        [timed_training(model, *side, options).history.seconds_to_best for side in sides] for _ in range(repetitions)
    ]
    ours, theirs = (median(side) for side in zip(*times, strict=True))
    spent = seconds["teacher_seconds"] + seconds["condense_seconds"]
    return {
        "n_train": len(split.train),
        "n_interactions": len(condensed),
        "n_users_condensed": condensed.interactions.n_users,
        **beside_full(trained.metrics, full.metrics),
        "same_settings_quality": trained.same_settings["ndcg@10"] / full.metrics["ndcg@10"],
        "train_seconds": round(ours, 4),
        "full_train_seconds": round(theirs, 3),
        "speed_up": round(theirs / ours, 2),
        **seconds,
        "break_even": round(spent / (theirs - ours), 3) if theirs > ours else None,
    }


def _anew(folder: Path) -> Callable[[tuple[str, ...]], Results]:
    return lambda apart_from: Results(folder / "full.json", COMMAND, apart_from)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was measured, for the console."""

    def mean(key: str) -> float:
        return fmean(row[key] for row in rows)

    lines = [
        f"{'trained on':<22}{'interactions':>13}{'NDCG@10':>10}{'Recall@20':>11}{'seconds':>9}",
        f"{'full data':<22}{mean('n_train'):>13,.0f}{mean('full_ndcg@10'):>10.4f}{mean('full_recall@20'):>11.4f}"
        f"{median(row['full_train_seconds'] for row in rows):>9.2f}",
        f"{CONDENSER:<22}{mean('n_interactions'):>13,.0f}{mean('ndcg@10'):>10.4f}{mean('recall@20'):>11.4f}"
        f"{median(row['train_seconds'] for row in rows):>9.2f}",
        "",
        f"{mean('quality'):.1%} of full data's NDCG@10 ({min(row['quality'] for row in rows):.1%} on the worst seed), "
        f"{mean('recall_quality'):.1%} of its Recall@20, with {mean('n_interactions') / mean('n_train'):.2%} of the "
        f"interactions, trained {median(row['speed_up'] for row in rows):.0f} times as fast",
    ]  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print the table."""
    parser = parser_of("headline", __doc__)
    parser.add_argument("--model", default="bprmf", choices=sorted(TUNED[DATASET]))
    parser.add_argument("--seed", type=int, action="append", help="0, 1 and 2 by default")
    parser.add_argument("--fresh", action="store_true", help="measure also what the results files have")
    options = parser.parse_args(arguments)
    one_core()
    plan = next(plan for plan in PLANS if plan.dataset == DATASET and RATIO in plan.ratios)
    results, rows = Results.named("headline", COMMAND), []
    with TemporaryDirectory() as scratch:
        run = Run(options.data, References(_anew(Path(scratch)) if options.fresh else None))
        for seed in options.seed or (0, 1, 2):
            cell = plan.cell(RATIO, CONDENSER, options.model, seed)
            case = {"dataset": DATASET, "ratio": RATIO, "condenser": CONDENSER, "downstream_model": options.model,
                    "inductive": True, "seed": seed,
                    "settings": {**cell.case["settings"], "trials": cell.trials}}  # fmt: skip
            known = None if options.fresh else results.find(case)
            done = f", measured at {known['commit']}" if known else " …"
            print(f"seed {seed}: {options.model} on {RATIO:.1%} of {DATASET} and on all of it{done}", flush=True)
            measure = partial(headline, run, plan, RATIO, options.model, seed, REPETITIONS)
            rows.append(results.row(case, measure, options.fresh))
    print(f"\n{options.model} on {DATASET}, test, {len(rows)} seed{'s' if len(rows) > 1 else ''}\n\n{table(rows)}")


if __name__ == "__main__":
    run_main(main)
