"""report: everything the pipeline wrote, as one HTML page that needs nothing else to be read."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dconrec_core import __version__
from dconrec_core.atomic import write_text
from dconrec_core.data.io import read_part, read_table
from tasks.installed import installed
from tasks.outputs import read_csv, read_json
from tasks.page import render_page
from tasks.report_history import typical_history
from tasks.report_panels import popularity_figure, ratio_figure, search_figure, spread, training_figure
from tasks.report_users import user_base
from tasks.summary import POPULARITY_RANKER, TIMED_STAGES, Result, summarise
from tasks.workspace import Workspace

PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "prefect", "mlflow", "dvc", "great_expectations")


def report(files: Workspace, out: Path) -> None:
    """Write the report of what lies in ``files``.

    Only the evaluation, the condensed dataset and the split must be there; whatever else is missing (titles, a ratio
    curve, timings of stages restored from the cache) leaves a sentence in its place.

    Args:
        files: Where the stages wrote.
        out: The page.

    Raises:
        DataError: A file that must be there is missing or unreadable.
    """
    evaluation = read_json(files.evaluation)
    timings = {stage: read_json(files.timing(stage), optional=True) for stage in TIMED_STAGES}
    results = summarise(evaluation, timings)
    context = {
        "evaluation": evaluation,
        "timings": timings,
        "results": results,
        "verdicts": verdicts(results),
        "settings": _settings(evaluation),
        "source": read_json(files.raw / "source.json", optional=True),
        "split": read_json(files.split / "split.json", optional=True),
        "pool": read_json(files.pool / "pool.json", optional=True),
        "checks": _checks(files),
        "versions": {
            "dconrec": __version__,
            "python": platform.python_version(),
            **{name: installed(name) or "not installed" for name in PACKAGES},
        },
        **_condensed(files),
    }
    card = context["card"]
    context["tried"] = sorted(card["notes"].get("tried", {}).items(), key=lambda one: -one[1])
    above = ("tried", "why", "refused", "not_tried") if context["tried"] else ()
    context["notes"] = {name: note for name, note in card["notes"].items() if name not in above}
    context["figures"] |= {
        "ratio": ratio_figure(
            read_csv(files.ratio_curve, columns=("condenser", "model", "ratio", "quality")),
            results,
            card["condenser"],
            evaluation["ratio"],
        ),
        "training": training_figure(read_csv(files.curves, columns=("training_set", "model", "seed")), results),
        "search": search_figure(read_csv(files.search_history), card["budget"]),
    }
    write_text(out, render_page("report_template.html", context))


def verdicts(results: list[Result]) -> list[dict[str, Result | None]]:
    """For each trained model its condensed, its full and its best baseline result, side by side."""
    models = [model for model in dict.fromkeys(one.model for one in results) if model != POPULARITY_RANKER]
    rows = []
    for model in models:
        mine = {one.training_set: one for one in results if one.model == model}
        measured = [
            (one.ndcg.mean, name) for name, one in mine.items() if name not in ("full", "condensed") and one.ndcg
        ]
        best = mine[max(measured)[1]] if measured else None
        rows.append({"full": mine.get("full"), "condensed": mine.get("condensed"), "best_baseline": best})
    return [row for row in rows if row["condensed"]]


def _condensed(files: Workspace) -> dict[str, Any]:
    """What the condensed set looks like beside the training data."""
    train = read_part(files.split, "train")
    table = read_table(files.condensed / "interactions.parquet")
    items = _read_parquet(files.split / "items.parquet", columns=("item", "item_id"))
    popularity, observed = train.item_degree, table["observed"].to_numpy(dtype=bool)
    pairs = {"user": table["user"].to_numpy(), "item": table["item"].to_numpy()}
    sets = [("Full data", train.users, train.items), ("Condensed", pairs["user"], pairs["item"])]
    if 0 < observed.sum() < len(observed):
        for name, mask in (("of which observed", observed), ("of which pseudo", ~observed)):
            sets.append((name, pairs["user"][mask], pairs["item"][mask]))
    card = read_json(files.condensed / "card.json")
    return {
        "card": card,
        "spreads": [spread(name, users_of, items_of, popularity) for name, users_of, items_of in sets],
        "catalogue": {"n_users": train.n_users, "n_items": train.n_items},
        "history": None if card["inductive"] else typical_history(train, table, items),
        "users": user_base(train, table, items) if card["inductive"] else None,
        "has_titles": "title" in items,
        "figures": {"popularity": popularity_figure(popularity, np.bincount(pairs["item"], minlength=train.n_items))},
    }


def _checks(files: Workspace) -> list[dict[str, Any]]:
    tables = {
        "Raw ratings": files.validated / "checks.json",
        "Prepared interactions": files.split / "checks.json",
        "Condensed dataset": files.condensed_checks,
    }
    return [{"name": name, **found} for name, path in tables.items() if (found := read_json(path, optional=True))]


def _settings(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings chosen on valid, one row a training."""
    return [row for row in evaluation["rows"] if row.get("config")]


def _read_parquet(path: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    return read_table(path) if path.is_file() else pd.DataFrame(columns=list(columns))
