"""What the pipeline leaves behind, made up: small, quick and with every awkwardness a report must cope with."""

from pathlib import Path

import numpy as np
import pandas as pd

from dconrec_core.atomic import write_json, write_text
from dconrec_core.data import io
from dconrec_core.types import Interactions
from tasks.workspace import Workspace

EVIL_TITLE = "<script>document.title = 'hacked'</script> & \"Co\""
N_USERS, N_ITEMS = 60, 80
SETS = {
    "full": 1.0,
    "condensed": 0.942,
    "random": 0.61,
    "random-pool": 0.704,
    "popularity": 0.488,
    "teacher-top": 0.913,
}
MODELS = {"bprmf": 0.2641, "lightgcn": 0.2738}


def fabricate(root: Path, *, seeds: tuple[int, ...] = (0, 1), synthetic: bool = False) -> Workspace:
    """Fill ``root`` with the files that the report reads.

    Every figure is a formula or a seeded draw, so that two calls write the same bytes. A ``synthetic`` set has nine
    users of its own.
    """
    files = Workspace(root)
    train, condensed = _interactions()
    condensed = _made_up() if synthetic else condensed
    _write_source(files, train)
    _write_condensed(files, train, condensed, synthetic)
    _write_results(files, len(train), len(condensed), seeds, synthetic)
    return files


def _interactions() -> tuple[Interactions, pd.DataFrame]:
    rng = np.random.default_rng(7)
    popularity = 1 / np.arange(1, N_ITEMS + 1)
    chosen = rng.random((N_USERS, N_ITEMS)) < np.clip(popularity * 4, 0.08, 0.9)
    chosen[:, 0] = True  # every user has the item with the awkward title
    users, items = np.nonzero(chosen)
    train = Interactions.of(users, items, N_USERS, N_ITEMS)
    kept = pd.DataFrame({"user": train.users, "item": train.items, "observed": True}).groupby("user").head(3)
    pseudo_users, pseudo_items = np.nonzero(~chosen)
    pseudo = pd.DataFrame({"user": pseudo_users, "item": pseudo_items, "observed": False}).groupby("user").head(2)
    table = pd.concat([kept, pseudo]).sort_values(["user", "item"], ignore_index=True)
    return train, table.assign(
        user_id=table["user"] + 1000, item_id=table["item"] + 500, keep_prob=np.float32(0.75)
    ).astype({"user": "int32", "item": "int32"})


def _made_up() -> pd.DataFrame:
    """Nine synthetic users of nine or ten items; all of them have the item with the awkward title."""
    table = pd.DataFrame([(user, item) for user in range(9) for item in (0, *range(1 + user, 80, 9))])
    table.columns = ["user", "item"]
    ids = {"user_id": "synthetic-" + table["user"].astype(str), "item_id": table["item"] + 500}
    return table.assign(**ids, observed=False, keep_prob=np.float32(1)).astype({"user": "int32", "item": "int32"})


def _write_source(files: Workspace, train: Interactions) -> None:
    write_json(files.raw / "source.json", {"dataset": "toy", "source": "made up", "sha256": "ab" * 32, "n_rows": 1200})
    for part in ("train", "valid", "test"):
        io.write_interactions(files.split / f"{part}.parquet", train)
    titles = [f"Film number {item} (19{item % 100:02d})" for item in range(N_ITEMS)]
    titles[0] = EVIL_TITLE
    items = pd.DataFrame({"item": np.arange(N_ITEMS), "item_id": np.arange(N_ITEMS) + 500, "title": titles})
    io.write_table(files.split / "items.parquet", items)
    write_json(
        files.split / "split.json",
        {"n_users": N_USERS, "n_items": N_ITEMS, "n_train": len(train), "n_valid": 90, "n_test": 90}
        | {"density": 0.2, "dropped": {"rating below 3": 210}, "strategy": "random", "seed": 0},
    )
    bad = {"user_id": 7, "item_id": 12, "rating": 9.0}
    rules = [
        ("user_id", "is never null", "critical", True, 0, []),
        ("rating", "lies between 1 and 5", "warning", False, 4, [bad, bad | {"rating": 11.5}]),
    ]
    write_json(files.validated / "checks.json", _checks("ratings", 1204, rules, {"rating lies between 1 and 5": 4}))
    write_json(files.split / "checks.json", _checks("prepared", 1000, rules[:1], {}))
    write_json(files.condensed_checks, _checks("condensed", 300, rules[:1], {}))


def _checks(table: str, n_rows: int, rules: list[tuple], quarantined: dict[str, int]) -> dict:
    keys = ("column", "rule", "severity", "passed", "n_failed", "examples")
    return {
        "table": table,
        "n_rows": n_rows,
        "passed": True,
        "expectations": [dict(zip(keys, rule, strict=True)) for rule in rules],
        "n_quarantined": sum(quarantined.values()),
        "quarantined": quarantined,
    }


def _write_condensed(files: Workspace, train: Interactions, table: pd.DataFrame, synthetic: bool) -> None:
    columns = ["user", "item", "user_id", "item_id", "observed", "keep_prob"]
    io.write_table(files.condensed / "interactions.parquet", table[columns])
    users = table[["user", "user_id"]].drop_duplicates().assign(synthetic=synthetic)
    io.write_table(files.condensed / "users.parquet", users)
    share = float(table["observed"].mean())
    card = {"schema_version": 2, "sha256": "cd" * 32, "dataset": "toy", "source_fingerprint": train.fingerprint()}
    card |= {"ratio": 0.25, "budget": len(table) + 3, "n_interactions": len(table), "n_source": len(train)}
    card |= {"inductive": synthetic, "synthetic": synthetic, "n_users": int(table["user"].nunique())}
    card |= {"n_users_source": N_USERS, "n_items": N_ITEMS, "observed_share": share}
    card |= {"pseudo_share": 1 - share, "condenser": "dconrec", "config": {"n_samples": 4, "learning_rate": 0.1}}
    card |= {"seed": 0, "notes": {"best_outer_epoch": 17}, "versions": {"numpy": "2"}}
    card |= {"how_to_load": "from dconrec_core import read_condensed\nread_condensed('data/condensed')"}
    card |= {"how_to_use": "scores = model.fold_in(history)(users)" if synthetic else "model.score(users)"}
    write_json(files.condensed / "card.json", card)
    n_pseudo = 240
    counts = {"n_candidates": len(train) + n_pseudo, "n_observed": len(train), "n_pseudo": n_pseudo}
    write_json(files.pool / "pool.json", counts)


def _write_results(files: Workspace, n_train: int, n_condensed: int, seeds: tuple[int, ...], synthetic: bool) -> None:
    rows, timed, curves = [], [], []
    for model, best in MODELS.items():
        for place, (training_set, quality) in enumerate(SETS.items()):
            for seed in seeds:
                key = {"training_set": training_set, "model": model, "seed": seed}
                ndcg = best * quality + 0.002 * seed
                size = n_train if training_set == "full" else n_condensed
                metrics = {"ndcg@10": ndcg, "recall@20": ndcg * 1.3, "quality": ndcg / (best + 0.002 * seed)}
                config = {"learning_rate": 0.001, "weight_decay": 1e-05}
                inductive = synthetic and training_set == "condensed"
                sizes = {"n_interactions": size, "n_users": N_USERS, "observed_share": 1.0, "inductive": inductive}
                rows.append(
                    key
                    | sizes
                    | metrics
                    | {"config": config, "best_epoch": 30, "valid_ndcg@10": ndcg * 0.99}
                    | {"same_settings_ndcg@10": ndcg * 0.98}
                )
                timed.append(key | {"train_seconds": 8.4 if training_set == "full" else 2.1 + place / 10})
                for epoch in range(1, 31):
                    learnt = 1 - np.exp(-epoch / 9)
                    curves.append(
                        key
                        | {"epoch": epoch, "loss": 0.7 - (0.4 - place / 20) * learnt, "valid_ndcg@10": ndcg * learnt}
                    )
    floor = {"training_set": "full", "model": "popularity", "seed": seeds[0], "n_interactions": n_train, "config": {}}
    rows.append(floor | {"ndcg@10": 0.1313, "recall@20": 0.19, "quality": None, "same_settings_ndcg@10": 0.1313})
    head = {"dataset": "toy", "seed": 0, "condenser": "dconrec", "teacher": "ease", "ratio": 0.25, "n_train": n_train}
    write_json(files.evaluation, head | {"rows": rows})
    write_json(files.timing("evaluate"), {"stage_seconds": 80.5, "device": "cpu", "threads": 2, "rows": timed})
    write_json(files.timing("pretrain"), {"stage_seconds": 1.5, "device": "cpu", "threads": 2})
    write_json(files.timing("condense"), {"stage_seconds": 22.0, "device": "cpu", "threads": 2})
    write_text(files.curves, pd.DataFrame(curves).to_csv(index=False))
    outer = np.arange(1, 41)
    search = {"outer_epoch": outer, "valid_loss": 0.5 + 0.2 / outer, "expected_size": n_condensed - outer / 7}
    search |= {"mapping_norm_sq": (1.2 + np.cos(outer)) / np.sqrt(outer)}
    write_text(files.search_history, pd.DataFrame(search).to_csv(index=False))
    curve = [
        {"condenser": name, "model": "bprmf", "ratio": ratio, "n_interactions": int(ratio * n_train)}
        | {"ndcg@10": 0.2, "recall@20": 0.3, "quality": best * ratio**0.2}
        for name, best in (("dconrec", 1.12), ("random", 0.8))
        for ratio in (0.05, 0.1, 0.25, 0.5)
    ]
    write_text(files.ratio_curve, pd.DataFrame(curve).to_csv(index=False))
