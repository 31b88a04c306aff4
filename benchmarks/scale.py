"""``make bench-scale``: one BPRMF epoch, the candidate pool and everyone's ranking at ML-20M's size → scale.json."""

import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.command_line import run_main
from benchmarks.datasets import shaped_like_ml_20m, write_npz
from benchmarks.results import Results, Row
from dconrec_core.types import Interactions, Split

COMMAND = "make bench-scale"
SIZES = (1_000_000, 4_000_000, 16_000_000)
SETTINGS: dict[str, Any] = {"pseudo_ratio": 0.3, "k": 20}
PARTS = ("epoch", "pool", "ranking")
CASE = "ml-20m-shaped"


def measure(train: Interactions) -> Row:
    """The figures of one size, from a process that does nothing else, on one thread."""
    nothing = train.take(np.array([], dtype=int))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "split.npz")
        write_npz(path, Split(train, nothing, nothing))
        answer = processes.ask("benchmarks.ours", "large", {"split": path, **SETTINGS})
    return {
        "n_users": train.n_users,
        "n_items": train.n_items,
        "seconds": round(sum(answer[part] for part in PARTS), 3),
        **{f"{part}_seconds": round(answer[part], 3) for part in PARTS},
        "n_candidates": answer["n_candidates"],
        "peak_rss_mb": answer["peak_rss_mb"],
    }


def growth(rows: Sequence[Row]) -> Row:
    """Exponents of time and memory in the number of interactions: slopes of the log-log least-squares lines."""
    sizes = np.log([row["n_interactions"] for row in rows])

    def exponent(column: str) -> float:
        return round(float(np.polyfit(sizes, np.log([row[column] for row in rows]), 1)[0]), 4)

    parts = {f"{part}_time_exponent": exponent(f"{part}_seconds") for part in PARTS}
    return {"time_exponent": exponent("seconds"), "memory_exponent": exponent("peak_rss_mb"), **parts}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print a line a row."""
    ArgumentParser(prog="python -m benchmarks.scale", description=__doc__).parse_args(arguments)  # generated data
    results, cases, rows = Results.named("scale", COMMAND), [], []
    for size in SIZES:
        case = {"case": CASE, "n_interactions": size, "settings": SETTINGS}
        row = results.row(case, lambda size=size: measure(shaped_like_ml_20m(size)))
        cases.append(case)
        rows.append(row)
        times = ", ".join(f"{part} {row[f'{part}_seconds']:.1f} s" for part in PARTS)
        print(f"{size:>10,} interactions: {row['seconds']:.1f} s ({times}), {row['peak_rss_mb']:.0f} MB", flush=True)
    cases.append({"case": f"{CASE}-summary", "settings": {**SETTINGS, "of": [row["key"] for row in rows]}})
    summary = results.row(cases[-1], lambda: growth(rows))
    results.finish(cases)
    print(f"time grows with exponent {summary['time_exponent']}, memory with {summary['memory_exponent']}")


if __name__ == "__main__":
    run_main(main)
