"""Kills of either driver in every stage, at chosen and at random points; a restart must come to the same."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.fault_project import Bench, Kill, Life
from benchmarks.results import Row

STAGES = {
    "ingest": "data/raw", "validate": "data/validated", "split": "data/split", "pretrain": "data/teacher",
    "augment": "data/pool", "condense": "data/condensed", "evaluate": "results/metrics", "report": "results/report",
    "register": "results/registration",
}  # fmt: skip
"""Each with an output whose rename makes it visible."""
TORN = ("split", "condense", "report")
"""Stages after which DVC is killed while it rewrites its own file in place."""
HALF = ("validate", "pretrain", "evaluate")
"""Stages after which DVC is killed while it adds to its cache of runs."""
POINTS = ("computing", "writing", "committing")
LONGEST = {"pretrain": 4.0, "condense": 4.0, "evaluate": 3.0, "register": 6.0, "validate": 3.0}
"""Seconds that a stage may compute; where its output comes sooner, that is when it is killed."""


def kill_at(driver: str, point: str, stage: str, lot: random.Random) -> Kill:
    """A kill while ``stage`` computes, when it is about to show its output, or when DVC writes down what it has."""
    began = rf"import tasks\.{stage}$"
    if point == "computing":
        delay = round(lot.uniform(0.02, LONGEST.get(stage, 1.0)), 2)
        return {"arm": "", "at": began, "delay": delay, "latest": rf"os\.rename .*{STAGES[stage]}"}
    if point == "writing":
        return {"arm": began, "at": rf"os\.rename .*{STAGES[stage]}"}
    if driver == "dvc":
        began = rf"run .*flows\.stage {stage}"
    if stage in HALF:
        return {"arm": began, "at": r"write .*\.dvc/cache/runs/"}
    return {"arm": began, "at": r"write .*dvc\.lock$", "torn": stage in TORN}


def lives(driver: str, point: str, seed: int) -> Iterator[tuple[str, Kill]]:
    """The kills of one project's life, in the order of its stages."""
    lot = random.Random(f"{driver} {point} {seed}")
    for stage in STAGES:
        yield stage, kill_at(driver, point, stage, lot)


def chosen(bench: Bench, driver: str, point: str, seed: int) -> Row:
    """One project that is killed in every stage in turn and started again each time."""
    return one_life(bench.fresh(), driver, list(lives(driver, point, seed)))


def at_random(bench: Bench, driver: str, seed: int, kills: int, longest: float) -> Row:
    """One project on fresh databases, killed at any time from its start on, until it comes to its end."""
    lot = random.Random(f"{driver} at random {seed}")
    first = "import flows" if driver == "flow" else "import dvc"
    plan = [("", {"arm": "", "at": rf"{first}$", "delay": round(lot.uniform(0.5, longest), 2)}) for _ in range(kills)]
    return one_life(bench.fresh(with_store=False), driver, plan)


def one_life(life: Life, driver: str, plan: Sequence[tuple[str, Kill]]) -> Row:
    """Kill as planned, look at what is visible after each, let a last restart finish, and compare."""
    missed, died, faults = 0, 0, []
    for stage, kill in plan:
        done = life.run(driver, kill)
        if done.killed:
            # DVC rewrites its lock file in place, so that may be cut off; the next start puts it right.
            found = life.visible_faults(lockfile=False)
        else:
            found = [f"ended with {done.status}: {done.last}"] if done.status else []
            missed += not done.status  # it was done before the time came
        died += bool(found)
        faults += [f"{stage}: {fault}" if stage else fault for fault in found]
    done = life.run(driver)
    at_end = [f"the restart ended with {done.status}: {done.last}"] if done.status else life.end_faults()
    tried = len(plan) - missed
    survived = 0 if at_end else tried - died
    if not (faults or at_end):
        life.remove()
    return row(tried, survived, [*faults, *at_end], came_too_late=missed)


def one_try(came: bool, faults: Sequence[str], **more: Any) -> Row:
    """A row of one try; a fault that came after the driver had ended has disturbed nothing, and counts for none."""
    return row(int(came), int(came and not faults), faults, came_too_late=int(not came), **more)


def row(tried: int, survived: int, faults: Sequence[str], lost: int | None = None, **more: Any) -> Row:
    """A row of ``faults.json``; ``lost`` counts what an undisturbed run has and this one has not."""
    shown = {"faults": "; ".join(faults)[:1000]} if faults else {}
    return {"tried": tried, "survived": survived, "lost": len(faults) if lost is None else lost, **more, **shown}
