"""A whole project in a folder of its own: a clone in all but history, with data so small that a run takes seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from flows.params import parse_changes, write_changes

ROOT = Path(__file__).parents[2]
PARTS = (
    "flows", "tasks", "dconrec_core", "dvc.yaml", "params.yaml", "prefect.yaml", ".dvcignore", ".gitignore",
    "data/input/README.md",
)  # fmt: skip
DVC_PARTS = ("config", ".gitignore", "plots")
TINY = (
    "dataset={name: synthetic, config: {n_users: 40, n_items: 60, n_interactions: 900}}",
    "condense={name: auto, ratio: 0.05, config: {steps: 20}}",
    "evaluate.models={bprmf: {epochs: 5}}",
    "evaluate.baselines=[random]",
    "evaluate.trials=1",
    "evaluate.curve_ratios=[0.5]",
)
WRITTEN = ("results", "mlflow", ".prefect", ".dvc/cache", ".dvc/tmp", "dvc.lock")
"""What a run leaves, beside ``data``; a clean project has none of it."""
INHERITED = ("DVC_STAGE", "DVC_ROOT", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME")
"""Settings of the test run that would hide the project's own defaults."""
CLOCKED = ("timings/", "report.html", "registration.json")
"""Outputs that quote the clock; every other one is the same at each run."""


def environment() -> dict[str, str]:
    """The variables of a shell in which the environment is active and nothing else is set."""
    plain = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return plain | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{plain.get('PATH', '')}", "PYTHONPATH": ""}


def make_project(folder: Path, changes: Sequence[str] = TINY, preset: str = "") -> Path:
    """Copy the project as a clone would have it, set its params, to something tiny by default, and commit."""
    folder.mkdir(parents=True)
    for part in PARTS:
        _copy(ROOT / part, folder / part)
    for part in DVC_PARTS:
        _copy(ROOT / ".dvc" / part, folder / ".dvc" / part)
    if preset:
        _copy(ROOT / "presets" / f"{preset}.yaml", folder / "params.yaml")
    write_changes(folder, parse_changes(changes))
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "someone")
    git(folder, "config", "user.email", "someone@example.com")
    commit(folder, "start")
    return folder


def make_store(path: Path) -> None:
    """MLflow's tables, empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    call(path.parent, sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}")


def clean(folder: Path, keep: Collection[str] = ()) -> None:
    """Back to what a clone holds, but for what was compiled and for the paths in ``keep``."""
    written = {folder / name for name in WRITTEN} | set((folder / "data").iterdir())
    for path in written - {folder / name for name in ("data/input", *keep)}:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def git(folder: Path, *arguments: str) -> str:
    return call(folder, "git", *arguments).stdout


def dvc(folder: Path, *arguments: str) -> str:
    """A DVC command that must succeed; both of its outputs."""
    done = call(folder, sys.executable, "-m", "dvc", *arguments)
    return done.stdout + done.stderr


def pipeline(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """``python -m flows.pipeline``, whatever its exit code."""
    return call(folder, sys.executable, "-m", "flows.pipeline", *arguments, check=False, settings=settings)


def selection(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m flows.selection``, whatever its exit code."""
    return call(folder, sys.executable, "-m", "flows.selection", *arguments, check=False)


def stage(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """``python -m flows.stage NAME``, whatever its exit code."""
    return call(folder, sys.executable, "-m", "flows.stage", name, check=False)


def call(
    folder: Path, *command: str, check: bool = True, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=environment() | dict(settings or {}), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file the pipeline wrote that must not depend on the clock or the driver, by path."""
    found = [path for part in ("data", "results") for path in (folder / part).rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {
        name: path.read_bytes()
        for name, path in sorted(names.items())
        if not name.startswith(("data/input/", "data/cache/")) and not any(part in name for part in CLOCKED)
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(
            source, target
        )  # with __pycache__: compiling every Numba kernel anew would take most of the time
    else:
        shutil.copy2(source, target)
