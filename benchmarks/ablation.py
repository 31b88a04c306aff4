"""``make bench-ablation``: what each part of ``synthetic-users`` is worth, on 0.5 % of MovieLens-1M → ablation.json.

Every variant differs from the default in one thing; recommenders trained on its set are measured as everywhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.command_line import one_core, parser_of, run_main
from benchmarks.quality import PLANS, Run
from benchmarks.references import References
from benchmarks.results import Results

COMMAND, DATASET, RATIO, SEEDS, MODELS_TRAINED = "make bench-ablation", "ml-1m", 0.005, (0, 1, 2), ("bprmf", "ridge")
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "default": ("synthetic-users", {}),
    "nothing hidden, teacher alone": ("synthetic-users", {"hidden_weight": 0.0}),
    "no teacher, hidden alone": ("synthetic-users", {"hidden_weight": 1.0}),
    "teacher's 20 items alike": ("synthetic-users", {"rank_scale": 1000.0}),
    "half the users": ("synthetic-users", {"n_users": 64}),
    "twice the users": ("synthetic-users", {"n_users": 254}),
    "a third of the steps": ("synthetic-users", {"steps": 200}),
    "twice the steps": ("synthetic-users", {"steps": 1200}),
    "Adam's steps": ("synthetic-users", {"adaptivity": 1.0, "learning_rate": 0.06}),
    "policy gradient": ("synthetic-users-policy", {}),
    "policy gradient, five times the steps": ("synthetic-users-policy", {"steps": 3000}),
    "real users at random": ("random-users", {}),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("ablation", __doc__)
    parser.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    options = parser.parse_args(arguments)
    one_core()
    plan = next(plan for plan in PLANS if plan.dataset == DATASET and RATIO in plan.ratios)
    results, run = Results.named("ablation", COMMAND), Run(options.data, References())
    for seed in options.seed or SEEDS:
        for variant, (condenser, settings) in VARIANTS.items():
            for model in MODELS_TRAINED:
                cell = replace(plan.cell(RATIO, condenser, model, seed), condensing=settings)
                row = results.row({"variant": variant, **cell.case}, partial(run.measure, cell))
                print(
                    f"seed {seed}  {variant:<38}{model:<7} NDCG@10 {row['ndcg@10']:.4f} = {row['quality']:.1%}, "
                    f"recall@20 {row['recall_quality']:.1%}, {row['condense_seconds']:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    run_main(main)
