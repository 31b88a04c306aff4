"""``make bench-faults``: break the pipeline on purpose, start it again, compare with an undisturbed run → faults.json.

Each row is one case: how often it was ``tried``, how often it ``survived``, and how much of an undisturbed run was
``lost``. The pipeline under test is this checkout's, on data so small that a run takes seconds; docs/faults.md says
what each case does. Kills and full disks need Linux; small disks need root, and are left out where it is missing.
"""

import os
import shutil
import signal
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import fault_kills as kills
from benchmarks import fault_servers as servers
from benchmarks import fault_surroundings as around
from benchmarks import malformed
from benchmarks.command_line import run_main
from benchmarks.fault_nights import week
from benchmarks.fault_project import Bench
from benchmarks.results import Results, Row, drivers_fingerprint

COMMAND = "make bench-faults"
DAY = 24 * 3600.0

Measure = Callable[[Bench], Row]


def cases() -> Iterator[tuple[str, Measure]]:
    """Name and measurement of every case."""
    for driver in ("flow", "dvc"):
        for point in kills.POINTS:
            yield f"kill while {point}, {driver}", _with_prefect(_each(kills.chosen, (driver, point, 0)))
        yield f"kill at any time of a first run, {driver}", _each(kills.at_random, (driver, 0, 6, 20.0))
    yield (
        "MLflow server stopped in mid-run and back",
        _each(
            servers.mlflow_away,
            ("dvc", 2, signal.SIGTERM),
            ("stage", 4, signal.SIGKILL),
            back=True,
        ),
    )
    yield (
        "MLflow server away until the run gave up, and back",
        _each(servers.mlflow_away, ("stage", 5, signal.SIGTERM), back=False),
    )
    yield (
        "Prefect server restarted in mid-run",
        _each(servers.prefect_away, ("data/split", signal.SIGTERM), ("data/pool", signal.SIGKILL)),
    )
    yield "Prefect server restarted between scheduled runs", servers.schedules
    yield (
        "two pipelines at once, first runs",
        _each(around.two_at_once, ("flow", "flow"), ("flow", "dvc"), ("dvc", "dvc")),
    )
    yield "two first runs at once on a fresh SQLite of MLflow", _each(around.two_on_a_fresh_store, (), ())
    if around.can_mount():
        rooms = [("flow", 50_000), ("dvc", 250_000), ("flow", 600_000)]
        yield "disk full", _with_prefect(_each(around.disk_full, *rooms))
        yield "project read-only", _each(around.read_only, ("flow",), ("dvc",))
    yield "cached download cut off or altered", lambda bench: around.downloads(bench.folder / "downloads", 60)
    outs = (("condense", "data/condensed"),)
    yield (
        "DVC cache object altered, flow",
        _with_prefect(_each(around.altered_object, *((*pair, "flow") for pair in outs))),
    )
    yield (
        "DVC cache object altered, dvc",
        _with_prefect(_each(around.altered_object, *((*pair, "dvc") for pair in outs))),
    )
    yield "clock before the data", _with_prefect(_each(around.clock_before_the_data, ("flow",), ("dvc",)))
    jumps = [("flow", -DAY), ("dvc", 400 * DAY)]
    yield "clock changed between runs", _each(around.clock_between_runs, *jumps)
    yield "week of nightly runs, gc after each", _with_prefect(week)
    for kind, count in malformed.COUNTS.items():
        yield f"malformed {kind} (fuzz)", _fuzz(kind, count)


def _each(measure: Callable[..., Row], *arguments: tuple[Any, ...], **same: Any) -> Measure:
    """One row of several tries."""

    def measured(bench: Bench) -> Row:
        return _together([measure(bench, *one, **same) for one in arguments])

    return measured


def _with_prefect(measure: Measure) -> Measure:
    """With a server that runs all the while, as in production; it saves each run the start of its own."""

    def measured(bench: Bench) -> Row:
        life = bench.fresh()
        with servers.running(servers.prefect_server(life, life.root.parent / "prefect")) as server:
            bench.settings["PREFECT_API_URL"] = servers.api(server)
            try:
                return measure(bench)
            finally:
                del bench.settings["PREFECT_API_URL"]

    return measured


def _together(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    names = ("tried", "survived", "lost", "came_too_late")
    sums = {name: sum(row[name] for row in rows) for name in names if name in rows[0]}
    said = [row["said"] for row in rows if row.get("said")]
    faults = [row["faults"] for row in rows if "faults" in row]
    return sums | ({"said": said} if said else {}) | ({"faults": "; ".join(faults)} if faults else {})


def _fuzz(kind: str, count: int) -> Measure:
    def measured(bench: Bench) -> Row:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            tally = malformed.run(kind, count, Path(folder))
        survived = tally.refused + tally.accepted
        messages = len(tally.messages)
        return kills.row(
            tally.tried, survived, tally.failures, refused=tally.refused, harmless=tally.accepted, messages=messages
        )

    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    """Try what is missing and print a line a case."""
    parser = ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", help="cases with one of these in their names; the others' rows are left as they are"
    )
    parser.add_argument("--folder", type=Path, help="for the projects that are broken; a temporary one by default")
    options = parser.parse_args(arguments)
    results, code = Results.named("faults", COMMAND), {"of": drivers_fingerprint()}
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    bench, every = Bench(folder), list(cases())
    asked = [{"case": name, "code": code} for name, _ in every]
    failed = []
    for case, (name, measure) in zip(asked, every, strict=True):
        if options.only and not any(part in name for part in options.only):
            continue
        row = results.row(case, lambda measure=measure: measure(bench))
        print(f"{name}: {row['survived']} of {row['tried']} survived, {row['lost']} lost", flush=True)
        if row["survived"] < row["tried"] or row["lost"]:
            failed.append(name)
            print(f"  {row.get('faults', '')}", flush=True)
    if not options.only:
        results.finish(asked)
    if not options.folder:
        shutil.rmtree(folder, ignore_errors=True)
    if not around.can_mount():
        print("not root: full and read-only disks were left out")
    if failed:
        raise SystemExit(f"{len(failed)} cases lost something: {', '.join(failed)}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_main(main)
