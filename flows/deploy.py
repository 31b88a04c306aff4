"""``python -m flows.deploy``: tell the served Prefect what ``prefect.yaml`` holds; again after every change of it."""

import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from dconrec_core.errors import ConfigError
from flows.frame import parser_of, run
from flows.processes import marked
from flows.served import home, read_served, responds

FILE = "prefect.yaml"
START_SECONDS = 120
"""For a `make serve` that has just been started."""
NOT_SERVED = "no Prefect server is there; run `make serve` first (in another terminal), or set PREFECT_API_URL"


def deploy() -> None:
    """Register the work pool, its queues and every deployment.

    Raises:
        ConfigError: No server, no such file, or Prefect refuses it.
    """
    if "PREFECT_API_URL" not in os.environ:
        os.environ["PREFECT_API_URL"] = _served_api()  # before Prefect is imported
    if not Path(FILE).is_file():
        raise ConfigError(f"{FILE} does not exist; run in the project's folder")
    from prefect.client.orchestration import get_client

    from flows import pool

    with get_client(sync_client=True) as client:
        pool.ensure_pool(client)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", FILE],
        # Without DCONREC_ROOT, of which each worker has its own: it stays a name in the deployment.
        env={name: value for name, value in os.environ.items() if name != "DCONREC_ROOT"}
        | {"COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ConfigError(f"{FILE}: {said[-1] if said else 'prefect deploy failed'}")


def _served_api() -> str:
    """Where the Prefect server answers that is just being started."""
    end = time.monotonic() + START_SECONDS
    while (served := read_served(home())) and marked(served.mark) and time.monotonic() < end:
        if responds(f"{served.api}/health"):
            return served.api
        time.sleep(0.5)
    raise ConfigError(NOT_SERVED)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every deployment is registered."""

    def job(asked: Namespace) -> None:
        deploy()
        from flows.status import deployments

        print(deployments())

    return run(parser_of("flows.deploy", __doc__), arguments, job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
