"""A comparison in MLflow: one run for the whole, one nested run a cell, with the columns a person compares by."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from tasks.results_file import Row
from tasks.tracking import Run, Tracker

PARAMS = ("dataset", "ratio", "condenser", "source_model", "downstream_model", "seed", "trials")
FACTS = ("inductive", "reference_model", "source_fingerprint", "core", "commit")
MAIN = ("ndcg@10", "recall@20", "quality", "speed_up")


@dataclass(frozen=True)
class Tracked:
    """Where MLflow keeps a comparison: its experiment, its run, and a nested run a cell."""

    experiment_id: str
    run_id: str
    cells: tuple[str, ...]

    @property
    def page(self) -> str:
        """Path of the page that shows every cell's settings and figures side by side, below MLflow's address."""
        runs, experiments = (quote(json.dumps(ids)) for ids in (self.cells, [self.experiment_id]))
        return f"/#/compare-runs?runs={runs}&experiments={experiments}"

    @property
    def table(self) -> str:
        """Path of the runs table with this comparison alone; the cells are behind the plus sign of its run."""
        wanted = quote(f"tags.`mlflow.parentRunId` = '{self.run_id}'")
        return f"/#/experiments/{self.experiment_id}/runs?workflowType=machine_learning&searchFilter={wanted}"


def track_comparison(
    experiment: str, name: str, asked: Mapping[str, Any], rows: Sequence[Row], home: Path, *files: Path
) -> "Tracked":
    """Remember a comparison.

    Args:
        experiment: MLflow's experiment.
        name: Of the run.
        asked: What was to be compared.
        rows: The finished cells.
        home: Folder of MLflow's store, where no variable names another.
        files: Kept with the run.

    Raises:
        TrackingError: MLflow does not answer.
    """
    told = json.dumps([name, asked, list(rows)], sort_keys=True, default=str)
    tracker = Tracker.open(experiment, home, hashlib.sha256(told.encode()).hexdigest())
    with tracker.run(name, tags={"kind": "comparison"}) as run:
        run.params(asked)
        run.metrics({"cells": len(rows), **_means(rows)})
        nested = [_track_cell(tracker, run, row) for row in rows]
        run.artifacts(*files)
    return Tracked(tracker.experiment_id, run.id, tuple(nested))


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


def _track_cell(tracker: Tracker, parent: Run, row: Row) -> str:
    with tracker.run(cell_name(row), parent=parent, tags={name: str(row[name]) for name in FACTS}) as run:
        run.params({name: row[name] for name in PARAMS})
        main = {name: row[name] for name in MAIN}
        rest = {
            name: value
            for name, value in row.items()
            if name not in (*PARAMS, *FACTS, *MAIN) and not isinstance(value, (str, bool))
        }
        run.metrics({**main, **rest})
    return run.id
