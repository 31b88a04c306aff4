"""Wall time of a stage, in a file of its own: the only outputs that no two runs share."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dconrec_core.atomic import write_json


@contextmanager
def stage_timing(path: Path, device: str) -> Iterator[dict[str, Any]]:
    """Measure the block and write ``{"stage_seconds", "device", "threads", "peak_rss_mb", …}``; the block may add keys.

    Args:
        path: File to write when the block succeeds.
        device: Device the stage ran on.
    """
    import torch

    timing: dict[str, Any] = {}
    started = time.perf_counter()
    yield timing
    seconds = time.perf_counter() - started
    write_json(
        path,
        {
            "stage_seconds": round(seconds, 4),
            "device": device,
            "threads": torch.get_num_threads(),
            "peak_rss_mb": round(peak_rss() / 1e6, 1),  # of the process so far
            **timing,
        },
    )


def peak_rss() -> int:
    """Largest resident set of this process so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
