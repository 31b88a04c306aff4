"""``python -m flows.cleanup [--keep N] [--yes]``: list what old runs left and nothing needs; ``--yes`` removes it.

Never touched: what ``dvc.lock``, the last N commits, tags and experiments need; the last N champions and versions with
an alias or the tag ``keep``, and their runs; the set that ``condense.start`` names; downloads; what is on a DVC remote.
"""

import os
import sqlite3
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from dconrec_core.errors import ConfigError
from flows.alone import alone
from flows.backends import prefect_has_own_file
from flows.frame import parser_of, run
from flows.params import read_params
from tasks.copies import abandoned_copies, notes_of_copies
from tasks.naming import COMPARISONS
from tasks.retention import Unneeded, old_champions, old_checkpoints
from tasks.workspace import Workspace

KEEP = 10
FLOWS = ("dconrec", "dconrec-selection", "nightly", "watch", "backfill", "compare")
"""Names of our flows."""
PAGE = 200


def unneeded(files: Workspace, keep: int) -> list[Unneeded]:
    """Everything that may go."""
    from tasks.tracking_gc import old_runs
    from tasks.tracking_store import store_uri
    from tasks.versioning_gc import unneeded_objects

    params = read_params(files.root)
    experiments = {params.registration.experiment, params.select.experiment, COMPARISONS}
    runs = old_runs(store_uri(files.root / "mlflow"), experiments, keep)
    return [
        *runs.unneeded(),
        *unneeded_objects(files.root, keep, runs.kept_hashes),
        old_checkpoints(files.checkpoints, keep),
        old_champions(files.champions, keep, params.condense.start),
        abandoned_copies(files.root),
        notes_of_copies(files.root),
        old_flow_runs(keep),
    ]


def old_flow_runs(keep: int) -> Unneeded:
    """All but the last ``keep`` flow runs of each of our flows that have ended; their logs go with them."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
    from prefect.client.schemas.objects import TERMINAL_STATES
    from prefect.client.schemas.sorting import FlowRunSort

    ended = FlowRunFilter.model_validate({"state": {"type": {"any_": list(TERMINAL_STATES)}}})
    old = []
    named = "PREFECT_API_URL" in os.environ or not prefect_has_own_file(os.environ)
    if named or _own_database().is_file():  # else there is no server to start for nothing
        with get_client(sync_client=True) as client:
            flows = client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))))
            for flow in flows:
                runs, page = [], [None]
                while page:
                    page = client.read_flow_runs(
                        flow_filter=FlowFilter.model_validate({"id": {"any_": [flow.id]}}),
                        flow_run_filter=ended,
                        sort=FlowRunSort.END_TIME_DESC,
                        limit=PAGE,
                        offset=len(runs),
                    )
                    runs += page
                old += [run.id for run in runs[keep:] if run is not None]

    def remove() -> None:
        with get_client(sync_client=True) as client:
            for one in old:
                client.delete_flow_run(one)
        if old and "PREFECT_API_URL" not in os.environ and prefect_has_own_file(os.environ):
            _drop_orphans(_own_database())

    return Unneeded("flow runs of Prefect", len(old), 0, remove)


def _own_database() -> Path:
    return Path(os.environ["PREFECT_HOME"]) / "prefect.db"


def _drop_orphans(database: Path) -> None:
    """Logs, artifacts and events of runs that are gone; a server that runs all the time does it by itself."""
    with sqlite3.connect(database, timeout=60) as connection:
        for table in ("log", "artifact"):
            connection.execute(
                f"DELETE FROM {table} WHERE flow_run_id IS NOT NULL AND flow_run_id NOT IN (SELECT id FROM flow_run)"
            )
        for table in ("events", "event_resources"):
            connection.execute(f"DELETE FROM {table} WHERE occurred < (SELECT MIN(start_time) FROM flow_run)")
    with sqlite3.connect(database, timeout=60) as connection:
        connection.execute("VACUUM")


def table(found: list[Unneeded]) -> str:
    """One line a kind."""
    lines = [f"{one.count:>8,}  {one.what}, {one.size / 1e6:.1f} MB" for one in found]
    return "\n".join([*lines, f"{'':>8}  together {sum(one.size for one in found) / 1e6:.1f} MB and rows of databases"])


def clean(asked: Namespace) -> None:
    """List it, and remove it where that was asked for."""
    if asked.keep < 1:
        raise ConfigError(f"--keep is {asked.keep}; the least is 1, the state that is in use")
    with alone():
        found = unneeded(Workspace(), asked.keep)
        print(table(found))
        if not asked.yes:
            print("nothing is removed yet; make gc YES=1 (or --yes) removes it")
            return
        for one in found:
            if one.count:
                one.remove()
        print("removed")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when it is listed, and removed where that was asked for."""
    parser = parser_of("flows.cleanup", __doc__)
    parser.add_argument("--keep", type=int, default=KEEP, help=f"how many of each; {KEEP} by default")
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    return run(parser, arguments, clean)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
