"""The stages from pretrain to evaluate on a small split, with settings that keep a test short."""

from pathlib import Path

import numpy as np
import pandas as pd

from dconrec_core.data.io import write_split, write_table
from dconrec_core.options import RunOptions
from dconrec_core.types import Split
from tasks.augment import augment
from tasks.condense import condense
from tasks.params import AugmentParams, Component, CondenseParams, EvaluateParams
from tasks.pretrain import pretrain
from tasks.workspace import Workspace

OPTIONS = RunOptions(seed=0, device="cpu")
TEACHER = Component(name="ease", config={"regularization": [10.0, 50.0]})
AUGMENT = AugmentParams(pseudo_ratio=0.5, min_pseudo=5)
SEARCH = {"tail_threshold": 0, "passes": 2, "outer_epochs": 4, "refresh": 2, "warm_epochs": 3}
CONDENSE = CondenseParams(name="dconrec", ratio=0.25, config=SEARCH)
EVALUATE = EvaluateParams(
    models={
        "bprmf": {"embedding_size": 8, "epochs": 20, "patience": 20},
        "lightgcn": {"embedding_size": 8, "epochs": 10, "patience": 10},
    },
    baselines=["random", "teacher-top"],
    seeds=[0, 1],
    trials=2,
    curve_ratios=[0.1, 0.5],
)


def write_split_folder(files: Workspace, split: Split, *, test: bool = True) -> None:
    """What the split stage leaves; without ``test``, as if nothing were held out for the end."""
    users, items = np.arange(split.train.n_users, dtype=np.int32), np.arange(split.train.n_items, dtype=np.int32)
    write_split(files.split, split)
    write_table(files.split / "users.parquet", pd.DataFrame({"user": users, "user_id": 1000 + users}))
    names = [f"item-{item}" for item in items]
    write_table(files.split / "items.parquet", pd.DataFrame({"item": items, "item_id": names}))
    if not test:
        (files.split / "test.parquet").unlink()


def run_pretrain(files: Workspace, params: Component = TEACHER, options: RunOptions = OPTIONS) -> None:
    pretrain(params, files.split, files.teacher, files.timing("pretrain"), options)


def run_augment(files: Workspace, params: AugmentParams = AUGMENT) -> None:
    augment(params, files.split, files.teacher, files.pool, OPTIONS)


def run_condense(files: Workspace, params: CondenseParams = CONDENSE, options: RunOptions = OPTIONS) -> None:
    condense(
        params, "planted", files.split, files.pool, files.condensed, files.search_history, files.condensed_checks,
        files.timing("condense"), options,
    )  # fmt: skip


def condense_from_split(files: Workspace) -> None:
    """Teacher, pool, condensed dataset."""
    run_pretrain(files)
    run_augment(files)
    run_condense(files)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` but the timings, by its path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "timings"
    }
