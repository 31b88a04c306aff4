"""Wall time and memory of a stage, in a file of its own: the only outputs that no two runs share."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dconrec_core.atomic import write_json


@contextmanager
def stage_timing(path: Path, device: str) -> Iterator[dict[str, Any]]:
    """Measure the block and write ``{"stage_seconds", "device", "threads", "peak_rss_mb", …}``; the block may add keys.

    Args:
        path: File to write when the block succeeds. What is under ``earlier_seconds`` counts, too: work of a try that
            was cut off and need not be done again.
        device: Device the stage ran on.
    """
    import torch

    timing: dict[str, Any] = {}
    reset_peak_rss()
    started = time.perf_counter()
    yield timing
    seconds = time.perf_counter() - started + timing.pop("earlier_seconds", 0.0)
    write_json(
        path,
        {
            "stage_seconds": round(seconds, 4),
            "device": device,
            "threads": torch.get_num_threads(),
            "peak_rss_mb": peak_rss_mb(),
            **timing,
        },
    )


def reset_peak_rss() -> None:
    """Let ``peak_rss_mb`` speak of what comes from here on; without effect where the system has no such thing."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mb() -> float:
    """Largest resident set of this process since ``reset_peak_rss``, in MB (10⁶ bytes); else since its start."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage goes on telling the largest of all
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return round(int(fields["VmHWM"].split()[0]) * 1024 / 1e6, 1)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round((largest if sys.platform == "darwin" else largest * 1024) / 1e6, 1)
