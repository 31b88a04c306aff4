"""``make bench-speed``: our engines beside their peers, in turn, one thread each → speed.json.

Rows that are finished stay as long as code and versions do; a case that cannot be measured is named and left out.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.courses import COURSES
from benchmarks.processes import WorkerError
from benchmarks.results import FOLDER, Results, Row
from benchmarks.speed_cases import Bench, cases
from dconrec_core.errors import DConRecError

COMMAND = "make bench-speed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing and print a line a row; 1 where a case could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="cases, as ranking-*; the other rows stay")
    parser.add_argument("--data", type=Path, default=Path("data/input"), help="folder of the datasets' files")
    parser.add_argument("--courses", type=Path, default=COURSES, help="folder of the peers' trainings")
    parser.add_argument("--results", type=Path, help="another file than benchmarks/results/speed.json")
    parser.add_argument("--quick", action="store_true", help="every case on data of seconds, for tests")
    options = parser.parse_args(arguments)
    path = options.results or FOLDER / ("speed-quick.json" if options.quick else "speed.json")
    results, missed = Results(path, COMMAND), []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(results, options.data, Path(scratch), options.courses)
        if options.quick:
            bench.repetitions, bench.epochs, bench.seeds = 1, 1, (0,)
        for case in cases(options.quick):
            if not fnmatch(case.name, options.only):
                continue
            try:
                print(_line(case.run(bench)), flush=True)
            except (DConRecError, WorkerError, OSError) as error:
                missed.append(case.name)
                print(f"{case.name:<34} not measured: {error}", file=sys.stderr, flush=True)
    if options.only == "*" and not missed:
        results.finish(bench.asked)
    return int(bool(missed))


def _line(row: Row) -> str:
    beside = f"  NDCG@10 {row['ours_ndcg@10']:.4f} for {row['peer_ndcg@10']:.4f}" if "ours_ndcg@10" in row else ""
    seconds = f"{row['ours_seconds']:.4g} s for {row['peer_seconds']:.4g} s of {row['peer']}"
    return f"{row['case']:<34} {row['ratio']:>7.2f} ×  {seconds}{beside}"


if __name__ == "__main__":
    sys.exit(main())
