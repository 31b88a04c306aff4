"""``make bench-ablation``: what each part of ``synthetic-users`` is worth, on 0.5 % of MovieLens-1M → ablation.json.

Every variant differs from the default in one thing; recommenders trained on its set are measured as everywhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.command_line import parser_of, run_main
from benchmarks.quality import PLANS, Plan, Run, beside_full
from benchmarks.references import References, as_trained
from benchmarks.results import Results, Row
from dconrec_core.comparison import train_and_measure
from dconrec_core.options import RunOptions

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


def measure(run: Run, plan: Plan, variant: str, model: str, seed: int) -> Row:
    """The figures of one variant."""
    condenser, settings = VARIANTS[variant]
    condensed, seconds = run.source(plan.dataset, seed, plan.teaching).condense(condenser, RATIO, settings)
    full = run.full(plan.cell(RATIO, condenser, model, seed))
    trained = train_and_measure(
        model, plan.models[model], condensed.interactions, run.split(plan.dataset, seed), plan.trials,
        RunOptions(seed, "cpu"), as_trained(full), condensed.inductive,
    )  # fmt: skip
    return {
        "n_interactions": len(condensed),
        "n_users_condensed": condensed.interactions.n_users,
        "n_items_condensed": int((condensed.interactions.item_degree > 0).sum()),
        "valid_ndcg@10": trained.history.best_valid,
        **beside_full(trained.metrics, full),
        **seconds,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    parser = parser_of("ablation", __doc__)
    parser.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    options = parser.parse_args(arguments)
    plan = next(plan for plan in PLANS if plan.dataset == DATASET and RATIO in plan.ratios)
    results, run = Results.named("ablation", COMMAND), Run(options.data, References())
    for seed in options.seed or SEEDS:
        for variant in VARIANTS:
            for model in MODELS_TRAINED:
                case = {"dataset": DATASET, "ratio": RATIO, "variant": variant, "condenser": VARIANTS[variant][0],
                        "downstream_model": model, "inductive": True, "seed": seed,
                        "settings": dict(VARIANTS[variant][1]), "model": dict(plan.models[model]),
                        "teaching": vars(plan.teaching), "searched": [plan.trials]}  # fmt: skip
                row = results.row(
                    case, lambda variant=variant, model=model, seed=seed: measure(run, plan, variant, model, seed)
                )
                print(
                    f"seed {seed}  {variant:<38}{model:<7} NDCG@10 {row['ndcg@10']:.4f} = {row['quality']:.1%}, "
                    f"recall@20 {row['recall_quality']:.1%}, {row['condense_seconds']:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    run_main(main)
