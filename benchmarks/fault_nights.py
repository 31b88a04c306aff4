"""A week of nights in fast motion: new interactions each, one pipeline run, ``make gc``; nothing may grow for ever."""

import os
import random
import sqlite3
import subprocess
import sys
from typing import Any

from benchmarks.fault_kills import row
from benchmarks.fault_project import Bench, Life
from benchmarks.results import Row
from tasks.retention import size_of

NIGHTS, KEEP, EACH_NIGHT = 7, 2, 40
ROOM = 1.25
"""How much larger the last nights' use may be than that of the first ones which had as much to keep."""
FILE = "dataset={name: file, config: {path: data/input/ratings.csv, rating: rating}}"
GC = [sys.executable, "-m", "flows.cleanup", "--keep", str(KEEP), "--yes"]


def week(bench: Bench) -> Row:
    """Nights with an increment each; after each the last ``KEEP`` of everything are kept."""
    life, lot, faults = bench.fresh(), random.Random(0), []
    ratings = life.root / "data/input/ratings.csv"
    pairs = [(user, item) for user in range(40) for item in range(60)]
    lot.shuffle(pairs)
    disk, memory, peak = [], [], 0
    survived = 0
    for night in range(NIGHTS):
        rows = [f"{user},{item},{lot.randint(3, 5)}" for user, item in pairs[: 900 + EACH_NIGHT * night]]
        ratings.write_text("\n".join(["user_id,item_id,rating", *rows]) + "\n")
        status, text, kilobytes = _measured(
            life, [sys.executable, "-m", "flows.pipeline", *([FILE] if not night else [])]
        )
        memory.append(kilobytes)
        if status:
            faults.append(f"night {night}: ended with {status}: {text.strip().splitlines()[-1]}")
            continue
        peak = max(peak, _used(life))
        status, text, _ = _measured(life, GC)
        if status:
            faults.append(f"gc after night {night}: {text.strip().splitlines()[-1]}")
            continue
        disk.append(_used(life))
        survived += 1
    faults += _kept(life)
    if disk and disk[-1] > ROOM * disk[KEEP]:
        faults.append(f"the disk grew from {disk[KEEP]} to {disk[-1]} bytes after gc")
    if memory[-1] > ROOM * memory[0]:
        faults.append(f"memory grew from {memory[0]} to {memory[-1]} kB")
    result = row(
        NIGHTS, survived if not faults else min(survived, NIGHTS - 1), faults, nights=NIGHTS, kept=KEEP,
        disk_mb=[round(size / 1e6, 2) for size in disk], memory_mb=[round(size / 1e3) for size in memory],
    )  # fmt: skip
    if not faults:
        life.remove()
    return result


def _measured(life: Life, command: list[str]) -> tuple[int, str, int]:
    """Exit code, output and largest resident set of a command."""
    with (life.root.parent / "log").open("w+") as log:
        process = subprocess.Popen(
            command, cwd=life.root, env=life.variables(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read() or "nothing\n", usage.ru_maxrss


def _used(life: Life) -> int:
    """Bytes of everything that runs leave."""
    return sum(
        size_of(life.root / place) for place in (".dvc/cache", ".dvc/tmp", "data", "results", "mlflow", ".prefect")
    )


def _kept(life: Life) -> list[str]:
    """What must still be there is: outputs from the cache, the champion with its bytes, nothing stale."""
    faults = []
    run = [sys.executable, "-m", "dvc"]
    for command in (["checkout", "--force"], ["status", "--json"]):
        if command[0] == "checkout":
            for folder in ("data/condensed", "data/split"):
                subprocess.run(["rm", "-r", str(life.root / folder)], check=True)
        status, text, _ = _measured(life, [*run, *command])
        if status or (command[0] == "status" and text.strip().splitlines()[-1] != "{}"):
            faults.append(f"dvc {command[0]} after gc: {text.strip().splitlines()[-1]}")
    status, text, _ = _measured(life, [sys.executable, "-c", CHAMPION])
    if status:
        faults.append(f"the champion after gc: {text.strip().splitlines()[-1]}")
    counts: dict[str, Any] = {}
    with sqlite3.connect(life.root / "mlflow/mlflow.db") as database:
        counts["versions"] = database.execute(
            "SELECT COUNT(*) FROM model_versions WHERE current_stage != 'Deleted_Internal'"
        ).fetchone()[0]
        counts["runs"] = database.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
    if not KEEP <= counts["versions"] <= 2 * KEEP:  # the last champions may be older ones
        faults.append(f"{counts['versions']} versions are left")
    return faults


CHAMPION = """
import flows, mlflow
from pathlib import Path
from dconrec_core.condensation.dataset import read_condensed
client = mlflow.MlflowClient()
for model in client.search_registered_models():
    versions = client.search_model_versions(f"name = '{model.name}'")
    for number in {*model.aliases.values(), *(version.version for version in versions)}:
        folder = mlflow.artifacts.download_artifacts(f"models:/{model.name}/{number}")
        read_condensed(next(Path(folder).rglob("card.json")).parent)
"""
