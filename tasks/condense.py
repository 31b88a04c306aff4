"""Stage condense: choose the condensed dataset from the pool, check it and write it with its card."""

from itertools import chain
from pathlib import Path

import pandas as pd

from dconrec_core.atomic import write_json
from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.dataset import condensed_frame, write_condensed
from dconrec_core.data.io import read_part, read_pool, read_table
from dconrec_core.device import resolve_device
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import lookup
from dconrec_core.types import Budget
from tasks.params import CondenseParams
from tasks.pretrain import write_csv
from tasks.timing import stage_timing
from tasks.validate import check_condensed
from tasks.warm import warm_condenser

HISTORY_COLUMNS = ["outer_epoch", "valid_loss", "expected_size", "mapping_norm_sq", "valid_ndcg@10"]
"""Always there, since DVC plots them; what else a condenser tells of stands behind them."""


def condense(
    params: CondenseParams,
    dataset: str,
    split: Path,
    pool: Path,
    out: Path,
    history: Path,
    checks: Path,
    timing: Path,
    options: RunOptions,
) -> None:
    """Condense the candidate pool under the configured budget.

    Args:
        params: Condenser, its settings and the ratio.
        dataset: Name of the source, for the card.
        split: Folder of the split; train and valid are read, test is not.
        pool: Folder of the candidate pool.
        out: Folder of the condensed dataset.
        history: CSV file, one row an outer epoch.
        checks: File for the data checks of the condensed table.
        timing: File for the seconds it took.
        options: Seed, device, listener.

    Raises:
        BudgetError: The ratio is out of range or leaves nothing.
        DataError: The condensed table fails a check.
    """
    train, valid, candidates = read_part(split, "train"), read_part(split, "valid"), read_pool(pool)
    budget = Budget.from_ratio(params.ratio, train)
    entry = lookup(CONDENSERS, params.name, "condense.name")
    users, items = read_table(split / "users.parquet"), read_table(split / "items.parquet")
    condenser = entry.build(entry.configure("condense.config", params.config))
    if params.start:
        condenser = warm_condenser(params, items, Path())
    rows: list[dict[str, float]] = []

    def remember(event: EpochEvent, /) -> None:
        if event.label == listening.label:  # and not one of the looks on the way to where the search starts
            rows.append({"outer_epoch": event.epoch, **event.metrics})
        options.on_epoch(event)

    listening = RunOptions(options.seed, options.device, f"condense {params.name}", remember)
    with stage_timing(timing, str(resolve_device(options.device))):
        condensed = condenser.condense(candidates, valid, budget, listening)
        frame = condensed_frame(condensed, users, items)
        n_users = condensed.interactions.n_users
        write_json(checks, check_condensed(frame, budget.n_interactions, n_users, train.n_items, condensed.inductive))
        write_csv(history, pd.DataFrame(rows, columns=list(dict.fromkeys(chain(HISTORY_COLUMNS, *rows)))))
        write_condensed(out, condensed, dataset=dataset, users=users, items=items)
