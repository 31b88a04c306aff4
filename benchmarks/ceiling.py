"""``make bench-ceiling``: what a set that mentions few items can rank at all → ceiling.json.

A set ranks an item from what it says of it, so that items it does not mention are lost to whoever learns from it alone.
The ceiling is the teacher's own NDCG@10 with only the mentionable items ranked, beside that with all of them: no set of
so few items can pass it by more than it passes its teacher.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.command_line import parser_of, run_main
from benchmarks.datasets import load_split
from benchmarks.quality import FEW_USERS, STRONG, WIDE, Source, Teaching
from benchmarks.results import Results, Row
from dconrec_core.condensation.synthetic_users import SyntheticUsers, SyntheticUsersConfig
from dconrec_core.evaluation import RankingTask
from dconrec_core.ranking import ScoreFunction
from dconrec_core.types import Budget, FloatArray, IntArray, Split

COMMAND, RATIOS, SEED = "make bench-ceiling", (0.005, 0.01, 0.05, 0.25), 0
TEACHINGS: Mapping[str, Teaching] = {"ml-100k": STRONG, "ml-1m": STRONG, "gowalla": WIDE, "ciao": FEW_USERS}


def among(score: ScoreFunction, items: IntArray) -> ScoreFunction:
    """The same scores with every item but ``items`` ranked last."""

    def scores(users: IntArray) -> FloatArray:
        found = np.full_like(everything := score(users), -np.inf)
        found[:, items] = everything[:, items]
        return found

    return scores


class Taught:
    """One dataset's split and teacher.

    Args:
        split: The split.
        teaching: Teacher and pool.
    """

    def __init__(self, split: Split, teaching: Teaching) -> None:
        self.split, self.source = split, Source(split, SEED, teaching)
        self.test = RankingTask.test(split)
        self.score = self.source.teacher.score
        self.unrestricted = self.test.measure(self.score, (10,))["ndcg@10"]

    def measure(self, ratio: float) -> Row:
        """The ceiling of the items that ``synthetic-users`` would mention."""
        budget = Budget.from_ratio(ratio, self.split.train)
        items = SyntheticUsers(SyntheticUsersConfig()).mentionable(self.source.pool, budget)
        reached = self.test.measure(among(self.score, items), (10,))["ndcg@10"]
        return {
            "budget": budget.n_interactions,
            "n_items": self.split.train.n_items,
            "n_items_mentioned": len(items),
            "train_share": float(np.isin(self.split.train.items, items).mean()),
            "test_share": float(np.isin(self.split.test.items, items).mean()),
            "ndcg@10": reached,
            "full_ndcg@10": self.unrestricted,
            "ceiling": reached / self.unrestricted,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("ceiling", __doc__)
    parser.add_argument("--dataset", action="append", help="only this dataset; may be repeated")
    options = parser.parse_args(arguments)
    results, taught = Results.named("ceiling", COMMAND), dict[str, Taught]()
    for dataset in options.dataset or TEACHINGS:
        teaching = TEACHINGS.get(dataset, STRONG)
        for ratio in RATIOS:

            def measure(dataset: str = dataset, ratio: float = ratio, teaching: Teaching = teaching) -> Row:
                if dataset not in taught:
                    taught[dataset] = Taught(load_split(dataset, options.data, SEED), teaching)
                return taught[dataset].measure(ratio)

            case = {"dataset": dataset, "ratio": ratio, "teacher": teaching.model, "seed": SEED,
                    "teaching": vars(teaching)}  # fmt: skip
            row = results.row(case, measure)
            print(
                f"{dataset} {ratio:.1%}: {row['n_items_mentioned']:,} of {row['n_items']:,} items, "
                f"{row['test_share']:.1%} of test, ceiling {row['ceiling']:.1%}",
                flush=True,
            )


if __name__ == "__main__":
    run_main(main)
