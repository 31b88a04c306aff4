"""Each side of a comparison runs in a fresh process, on one thread unless told otherwise: JSON in, JSON out.

Both environments import this file, so it needs nothing but Python.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
LAST_LINES = 12

Answer = dict[str, Any]


class WorkerError(Exception):
    """A worker ended without an answer."""


def ask(
    module: str, what: str, request: Mapping[str, Any], python: str | Path = sys.executable, threads: int = 1
) -> Answer:
    """What the function ``what`` of a worker module answers, in a process of its own.

    Args:
        module: Run as ``python -m module``; ends in ``serve``.
        what: Name of the function.
        request: Its arguments.
        python: The environment's interpreter.
        threads: Of every library that has them.

    Raises:
        WorkerError: The worker failed; the message ends in the last lines it printed.
    """
    done = subprocess.run(
        [str(python), "-W", "ignore", "-m", module, what],
        input=json.dumps(request, default=str),
        cwd=ROOT,
        env={**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise WorkerError(f"python -m {module} {what} ended with status {done.returncode}:\n{said}")
    answer: Answer = json.loads(lines[-1])
    return answer


def serve(functions: Mapping[str, Callable[..., Answer]]) -> None:
    """The worker's side of ``ask``: call the function that was named and print its answer as the last line."""
    import torch  # not needed by whoever asks

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    answer = functions[sys.argv[1]](**json.load(sys.stdin))
    print(json.dumps(answer))
