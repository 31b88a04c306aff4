"""A comparison in MLflow: one run for the whole, one nested run a cell, with the columns a person compares by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tasks.results_file import Row
from tasks.tracking import Run, Tracker

PARAMS = ("dataset", "ratio", "condenser", "source_model", "downstream_model", "seed", "trials")
FACTS = ("inductive", "reference_model", "source_fingerprint", "core", "commit")
MAIN = ("ndcg@10", "recall@20", "quality", "speed_up")


def track_comparison(
    experiment: str, name: str, asked: Mapping[str, Any], rows: Sequence[Row], home: Path, *files: Path
) -> tuple[str, str]:
    """Remember a comparison.

    Args:
        experiment: MLflow's experiment.
        name: Of the run.
        asked: What was to be compared.
        rows: The finished cells.
        home: Folder of MLflow's store, where no variable names another.
        files: Kept with the run.

    Returns:
        Ids of the experiment and of the run.

    Raises:
        TrackingError: MLflow does not answer.
    """
    tracker = Tracker.open(experiment, home)
    with tracker.run(name, tags={"kind": "comparison"}) as run:
        run.params(asked)
        run.metrics({"cells": len(rows), **_means(rows)})
        for row in rows:
            _track_cell(tracker, run, row)
        run.artifacts(*files)
    return tracker.experiment_id, run.id


def cell_name(row: Row) -> str:
    """Dataset, ratio, condenser, models and seed."""
    source = f"{row['source_model']} → " if row["source_model"] else ""
    where = f"{row['dataset']} {row['condenser']} {row['ratio']:g}"
    return f"{where} {source}{row['downstream_model']} seed {row['seed']}"


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """Each condenser's mean quality, where it is one number: of one budget."""
    if len(Counter(row["ratio"] for row in rows)) != 1:
        return {}
    names = dict.fromkeys(row["condenser"] for row in rows)
    return {f"quality/{name}": fmean(row["quality"] for row in rows if row["condenser"] == name) for name in names}


def _track_cell(tracker: Tracker, parent: Run, row: Row) -> None:
    with tracker.run(cell_name(row), parent=parent, tags={name: str(row[name]) for name in FACTS}) as run:
        run.params({name: row[name] for name in PARAMS})
        main = {name: row[name] for name in MAIN}
        rest = {
            name: value
            for name, value in row.items()
            if name not in (*PARAMS, *FACTS, *MAIN) and not isinstance(value, (str, bool))
        }
        run.metrics({**main, **rest})
