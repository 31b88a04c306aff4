"""One cell of a comparison as a Prefect task, wherever it runs: a thread of the flow, or a Dask process.

What travels is settings alone. A process makes its own ``Comparison`` from them, once, and so shares what its cells
have in common. Finished rows are in ``results/comparison.json`` of the folder in which the process runs.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from dconrec_core.errors import ConfigError
from dconrec_core.options import EpochCallback, EpochEvent, RunOptions, ignore_epochs
from dconrec_core.types import Split
from flows.console import spell_seconds
from flows.failure import USER_ERRORS
from flows.states import KEPT, Interrupted, failed
from tasks.comparison import Cell, Comparison, References
from tasks.grid import load_split
from tasks.params import PipelineParams
from tasks.results_file import PACKAGES, Results, Row
from tasks.workspace import Workspace

COMMAND = "python -m flows.compare"
CELL = ("dataset", "ratio", "condenser", "source_model", "downstream_model", "seed", "trials", "nested")
REFERENCE = ("dataset", "model", "seed", "trials", "nested")
"""What tells rows apart: with their settings, so that going back to earlier ones, or to another file, costs nothing."""


class Setup:
    """What one comparison measures by. A plain class, so that Prefect hands it to tasks as it is.

    Args:
        run: Name of the run of the flow: equal for its cells alone.
        settings: Of each dataset.
        data: Folder of the files that cannot be downloaded; each preset's own by default.
    """

    def __init__(self, run: str, settings: Mapping[str, PipelineParams], data: Path | None) -> None:
        self.run, self.settings, self.data = run, settings, data


class Measurer:
    """Measures cells in this process; the one of an earlier run of the flow is let go.

    Args:
        setup: By what.
        listen: Whom to tell of each epoch.
    """

    _last: "Measurer | None" = None
    _lock = threading.Lock()

    def __init__(self, setup: Setup, listen: EpochCallback = ignore_epochs) -> None:
        self.setup, self.files, self._listen = setup, Workspace(), listen
        self.over = threading.Event()
        self.results = Results(self.files.comparison, COMMAND, identity=CELL)
        references = References(lambda apart_from: Results(self.files.comparison_full, COMMAND, apart_from, REFERENCE))
        self._comparison = Comparison(self._load, references, RunOptions(device="cpu", on_epoch=self._epoch))
        Measurer._last = self

    @classmethod
    def of(cls, setup: Setup) -> "Measurer":
        """That of this process and this run; made where there is none."""
        with cls._lock:
            last = cls._last
            return last if last is not None and last.setup.run == setup.run else cls(setup)

    def measure(self, cell: Cell) -> tuple[Row, bool]:
        """The row of a cell, and whether an earlier run had it already."""
        if self.over.is_set():
            raise Interrupted("not begun")
        if row := self.results.find(cell.case):
            return row, True
        return self.results.row(cell.case, lambda: self._comparison.measure(cell)), False

    def adopt(self, cell: Cell, row: Row) -> None:
        """Keep a row that another process has measured, perhaps on another machine.

        Raises:
            ConfigError: That process runs other code, or the same with other packages.
        """
        if row["core"] != self.results.core:
            raise ConfigError("it was measured by other code; bring the checkouts of all workers to one commit")
        if row["packages"] != self.results.packages:
            raise ConfigError(
                f"it was measured with other versions of {', '.join(PACKAGES)}; install constraints.txt for all workers"
            )
        self.results.row(cell.case, lambda: row)

    def _load(self, dataset: str, seed: int) -> Split:
        return load_split(self.setup.settings[dataset], seed, self.files.cache, self.setup.data, RunOptions())

    def _epoch(self, event: EpochEvent, /) -> None:
        if self.over.is_set():
            raise Interrupted("interrupted")
        self._listen(event)


class Order:
    """One cell that is asked for. A plain class like its setup: Dask takes apart what Prefect has for it."""

    def __init__(self, cell: Cell, setup: Setup) -> None:
        self.cell, self.setup = cell, setup


@task(cache_policy=NO_CACHE, persist_result=False, name="cell")
def measure(order: Order) -> State[Any]:
    """One cell; its row is the state's data."""
    import torch

    try:
        torch.set_num_threads(1)  # in the thread that trains: seconds are those of one core, on either side
        started = time.monotonic()
        row, kept = Measurer.of(order.setup).measure(order.cell)
        seconds = spell_seconds(time.monotonic() - started)
        message = f"{described(row)}, {'from an earlier run' if kept else seconds}"
        get_run_logger().info("%s: %s", order.cell.name, message)
        return Completed(name=KEPT, message=message, data=row) if kept else Completed(message=message, data=row)
    except USER_ERRORS as error:
        return failed(order.cell.name, error)


def described(row: Row) -> str:
    """What a cell showed, in a few words."""
    return f"NDCG@10 {row['ndcg@10']:.4f}, {row['quality']:.1%} of full data"
