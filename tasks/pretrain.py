"""Stage pretrain: fit the teacher on train, with early stopping or its choice of settings on valid."""

import time
from pathlib import Path

import pandas as pd

from dconrec_core.atomic import atomic_file, atomic_folder
from dconrec_core.data.io import read_part
from dconrec_core.device import resolve_device
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.store import save_model
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from tasks.params import Component
from tasks.timing import stage_timing


def pretrain(params: Component, split: Path, out: Path, timing: Path, options: RunOptions) -> None:
    """Fit the teacher.

    Args:
        params: Name and settings of the teacher.
        split: Folder of the split; train and valid are read, test is not.
        out: Folder for ``weights.safetensors``, ``model.json`` and ``history.csv``.
        timing: File for the seconds it took.
        options: Seed, device, listener.
    """
    entry = lookup(MODELS, params.name, "teacher.name")
    model = entry.build(entry.configure("teacher.config", params.config))
    train, valid = read_part(split, "train"), read_part(split, "valid")
    with stage_timing(timing, str(resolve_device(options.device))) as measured:
        started = time.perf_counter()
        history = model.fit(train, RankingTask.valid(train, valid), options.named(f"teacher {params.name}"))
        # A training that goes on from a checkpoint knows of the seconds before it.
        measured["earlier_seconds"] = max(0.0, history.seconds - (time.perf_counter() - started))
        with atomic_folder(out) as folder:
            save_model(folder, params.name, model)
            write_csv(folder / "history.csv", pd.DataFrame(history.rows))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a CSV file without index, with Unix line ends; the same frame gives the same bytes."""
    with atomic_file(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
