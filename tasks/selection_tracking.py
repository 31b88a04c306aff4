"""A selection in MLflow: one run for the whole, one nested run a configuration with both sides' metrics."""

from collections.abc import Mapping
from typing import Any

from dconrec_core.condensation.dataset import read_card
from dconrec_core.data.download import file_sha256
from tasks.naming import data_name, run_name
from tasks.params import PipelineParams
from tasks.selection import FIGURES, agreement_of
from tasks.tracked_data import data_inputs
from tasks.tracking import Run, Tracker
from tasks.workspace import Workspace


def track_selection(params: PipelineParams, files: Workspace, result: Mapping[str, Any]) -> str:
    """Remember a selection; returns the id of its run.

    Args:
        params: Experiment, and what the run is called after.
        files: Where the selection was written, and what it was made from.
        result: Content of ``selection.json``.

    Raises:
        TrackingError: MLflow does not answer.
    """
    identity = file_sha256(files.selection)  # tried again, it leaves nothing twice
    tracker = Tracker.open(params.select.experiment, files.root / "mlflow", identity)
    agreement, card = agreement_of(result), read_card(files.condensed).model_dump()
    names = ("dataset", "condenser", "ratio", "inductive", "seed", "n_configurations")
    facts = {**{name: result[name] for name in names}, "shortlist": result["shortlist"] or "all"}
    tags = {
        "dataset": data_name(params.dataset),
        "condensed.sha256": result["condensed_sha256"],
        "chosen": agreement.chosen,
        "best": agreement.best,
        "device": result["device"],
    }
    with tracker.run(f"{run_name(params)} selection", tags=tags) as run:
        run.params(facts)
        run.datasets(list(data_inputs(files, card, data_name(params.dataset)).values()))
        figures = ("kendall_tau", "kendall_tau_test", "regret", "regret_at_random")
        clocks = ("seconds_condensed", "seconds_full", "time_ratio")
        run.metrics({name: getattr(agreement, name) for name in (*figures, *clocks)})
        for one in result["shortlists"]:
            run.metrics({f"shortlist/{name}": one[name] for name in ("regret", "time_ratio")}, step=one["size"])
        for row in result["rows"]:
            _track_configuration(tracker, run, row)
        run.artifacts(files.selection_page, files.selection, files.selection_table)
    return run.id


def _track_configuration(tracker: Tracker, parent: Run, row: Mapping[str, Any]) -> None:
    with tracker.run(row["configuration"], parent=parent) as run:
        run.params({"model": row["model"], **{f"config.{key}": value for key, value in row["settings"].items()}})
        for side in (side for side in ("condensed", "full") if row[side]):
            run.metrics({f"{side}/{name}": row[side][key] for key, name in FIGURES.items()})
            if failure := row[side]["failure"]:
                run.tags({f"{side}.failure": failure})
