"""The worker of this checkout: takes up what was cut off, runs what waits in its queues, gives back what it cannot end.

``prefect.yaml`` asks each worker for its own folder (``DCONREC_ROOT``), so that checkouts may lie anywhere.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from flows.backends import without_databases
from flows.env import ROOT
from flows.processes import stop_marked
from flows.servers import Site

WORKER = "worker"


def start_worker(site: Site, at_home: bool) -> None:
    """Start it and return when the server has heard of it.

    Args:
        site: Whose server it asks.
        at_home: Whether this checkout serves the pool. It then runs the pipeline's deployments; a worker elsewhere
            runs those of the queue ``grid``, one at a time.
    """
    os.environ["PREFECT_API_URL"] = site.served.api  # before Prefect is imported
    from prefect.client.orchestration import get_client

    from flows import pool

    queues: Sequence[str] = pool.HOME if at_home else pool.ELSEWHERE
    with get_client(sync_client=True) as client:
        pool.ensure_pool(client)
        if names := pool.requeue(client, pool.unfinished(client, queues)):
            print(f"goes on with what was cut off: {', '.join(names)}", flush=True)
        # Elsewhere the server has been up: what is due in the grid waits for its turn.
        if at_home and (count := pool.drop_missed(client)):
            print(f"left out what was due while nothing was served, but for the latest (starts: {count})", flush=True)
        command = ["prefect", "worker", "start", "--pool", pool.POOL, "--type", "process", "--name", pool.worker_name()]
        command += [word for queue in queues for word in ("--work-queue", queue)]
        command += [] if at_home else ["--limit", "1"]
        settings = {
            "DCONREC_ROOT": str(ROOT),
            "MLFLOW_TRACKING_URI": site.served.tracking,
            # DVC starts stages with whatever python3 comes first.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        site.start(WORKER, command, without_databases(os.environ) | settings, part=WORKER)
        site.wait_until(WORKER, lambda: pool.worker_is_online(client))


def stop_worker(site: Site, at_home: bool) -> None:
    """End it and its runs, and tell the server, while it still answers, that they are to be resumed."""
    from prefect.client.orchestration import get_client

    from flows import pool

    cut = []
    with suppress(Exception), get_client(sync_client=True) as client:  # the server itself may be what ended
        cut = pool.unfinished(client, pool.HOME if at_home else pool.ELSEWHERE)
    stop_marked(f"{site.served.mark}/{WORKER}")
    if cut:
        with suppress(Exception), get_client(sync_client=True) as client:
            if names := pool.requeue(client, cut):
                print(f"cut off, goes on with the next start: {', '.join(names)}", flush=True)
