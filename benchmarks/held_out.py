"""``make bench-held-out``: users kept out of everything, folded in against C and against T → held_out.json.

A twentieth of the users is in no split that anything is trained, condensed or chosen on. Their own interactions are
split 8 : 1 : 1; each is folded in from the training part and measured on the test part, by a model of the condensed set
and by the same model of full data.
"""

from collections.abc import Sequence

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.datasets import interactions
from benchmarks.quality import TUNED, Source, Teaching
from benchmarks.results import Results, Row
from dconrec_core.comparison import fit_best, search
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import RunOptions
from dconrec_core.splitting import hold_out_users, random_split
from dconrec_core.types import Interactions, Split

COMMAND, DATASET, RATIO, CONDENSER = "make bench-held-out", "ml-1m", 0.005, "synthetic-users"
SHARE, SEEDS, MODELS_TRAINED, TRIALS, THRESHOLD = 0.05, (0, 1, 2), ("ridge", "bprmf", "ease"), 3, 3.0
TEACHING = Teaching()


class HeldOut:
    """One seed: the split of the users who are kept, that of the others, and the condensed set.

    Args:
        everything: All interactions.
        seed: Of who is held out, both splits, the teacher and the condensation.
    """

    def __init__(self, everything: Interactions, seed: int) -> None:
        kept, held_out = hold_out_users(everything, SHARE, seed)
        self.seed, self.split = seed, random_split(kept, 0.1, 0.1, seed)
        self.others: Split = random_split(held_out, 0.1, 0.1, seed)
        self.condensed, self.seconds = Source(self.split, seed, TEACHING).condense(CONDENSER, RATIO)

    def measure(self, model: str) -> Row:
        """Both sides on the held-out users, each tuned on the valid part of the others by the same search."""
        split, options = self.split, RunOptions(self.seed, "cpu")
        figures: Row = {"n_held_out": int((self.others.train.user_degree > 0).sum())}
        for side, train in (("", self.condensed.interactions), ("full_", split.train)):
            valid = RankingTask.valid(split.train, split.valid, inductive=True)
            candidates = search(model, TUNED[DATASET][model], TRIALS)
            fitted = fit_best(model, candidates, train, valid, options, where=model).best
            task = RankingTask.test(self.others, inductive=True)
            metrics = task.measure(task.score_of(fitted), (10, 20))
            figures |= {f"{side}{name}": metrics[name] for name in ("ndcg@10", "recall@20")}
        return {
            **figures,
            "n_interactions": len(self.condensed),
            "quality": figures["ndcg@10"] / figures["full_ndcg@10"],
            "recall_quality": figures["recall@20"] / figures["full_recall@20"],
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("held_out", __doc__)
    options = parser.parse_args(arguments)
    one_core()
    results, everything, seeds = Results.named("held_out", COMMAND), None, dict[int, HeldOut]()
    for seed in SEEDS:
        for model in MODELS_TRAINED:
            case = {"dataset": DATASET, "ratio": RATIO, "condenser": CONDENSER, "downstream_model": model,
                    "inductive": True, "held_out_share": SHARE, "trials": TRIALS, "seed": seed,
                    "settings": dict(TUNED[DATASET][model]), "teaching": vars(TEACHING)}  # fmt: skip

            def measure(seed: int = seed, model: str = model) -> Row:
                nonlocal everything
                if everything is None:
                    everything = interactions(DATASET, options.data, THRESHOLD)
                if seed not in seeds:
                    seeds[seed] = HeldOut(everything, seed)
                return seeds[seed].measure(model)

            row = results.row(case, measure)
            print(
                f"seed {seed}  {model:<9} {row['n_held_out']} users  NDCG@10 {row['ndcg@10']:.4f} against "
                f"{row['full_ndcg@10']:.4f} = {row['quality']:.1%}, recall@20 {row['recall_quality']:.1%}",
                flush=True,
            )


if __name__ == "__main__":
    run_main(main)
