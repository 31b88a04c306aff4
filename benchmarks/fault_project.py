"""Small projects to break: copies of a clean one, commands that may be killed, and what must hold afterwards."""

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from tasks.leftovers import leftovers
from tests.flows.project import CLOCKED, clean, environment, make_project, make_store, outputs

INJECTION = Path(__file__).parent / "fault_injection"
TEMPORARY = re.compile(r"\.tmp-\d+|\.tmp$|^\.")
QUIET: dict[str, str] = {
    "GIT_AUTHOR_NAME": "faults", "GIT_AUTHOR_EMAIL": "faults@example.com", "GIT_COMMITTER_NAME": "faults",
    "GIT_COMMITTER_EMAIL": "faults@example.com", "GIT_CONFIG_GLOBAL": os.devnull, "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(INJECTION), "PYTHONDONTWRITEBYTECODE": "",
}  # fmt: skip
MINUTES = 10 * 60

Kill = Mapping[str, Any]
"""See ``fault_injection/sitecustomize.py``."""
FLOW = [[sys.executable, "-m", "flows.pipeline"]]
DVC = [[sys.executable, "-m", "flows.repair"], [sys.executable, "-m", "dvc", "repro"]]
DRIVERS = {"flow": FLOW, "dvc": DVC}


@dataclass
class Done:
    """How a command ended."""

    status: int
    text: str

    @property
    def killed(self) -> bool:
        """By SIGKILL."""
        return self.status == -signal.SIGKILL

    @property
    def one_line(self) -> bool:
        """Whether it failed as promised: no traceback, and a last line that is not empty."""
        return self.status == 1 and "Traceback" not in self.text and bool(self.last)

    @property
    def last(self) -> str:
        """The last line it printed."""
        lines = [line for line in self.text.strip().splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Bench:
    """The clean project, what an undisturbed run of it gives, and a folder for copies.

    Args:
        folder: For everything.
        params: ``KEY=VALUE`` on top of the tiny ones.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.update({name: value for name, value in QUIET.items() if name.startswith("GIT_")})
        self.folder = folder
        self.settings: dict[str, str] = {}
        self.template = folder / "template"
        if not self.template.exists():
            make_project(self.template)
        self._reference: Life | None = None

    @property
    def reference(self) -> "Life":
        """A project after one undisturbed run."""
        if self._reference is None:
            kept = self.folder / "reference"
            if not kept.exists():
                life = Life(self.template, self)
                life.must("flow")
                _copy(self.template, kept)
                clean(life.root)
            self._reference = Life(kept, self)
        return self._reference

    def fresh(self, *, with_store: bool = True) -> "Life":
        """A clean project; what was compiled is there already, and unless told otherwise MLflow's empty tables."""
        self.reference  # noqa: B018 (compiles)
        life = Life(_copy(self.template, self._place()), self)
        if with_store:
            store = self.folder / "store.db"
            if not store.exists():
                make_store(store)
            (life.root / "mlflow").mkdir(exist_ok=True)
            shutil.copy(store, life.root / "mlflow/mlflow.db")
        return life

    def finished(self) -> "Life":
        """A project in which everything is up to date but for MLflow, which is another checkout's."""
        return Life(_copy(self.reference.root, self._place()), self)

    def _place(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="project-", dir=self.folder)) / "project"


@dataclass
class Life:
    """One project and the processes that work in it."""

    root: Path
    bench: Bench
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    store: str = "mlflow/mlflow.db"
    """Where MLflow remembers, from ``root``."""

    def variables(self, **settings: str) -> dict[str, str]:
        """The environment of its commands; the mark finds whatever they leave running."""
        return environment() | QUIET | self.bench.settings | {"FAULT_MARK": self.mark} | settings

    def start(self, command: Sequence[str], kill: Kill | None = None, **settings: str) -> subprocess.Popen[str]:
        """A command in a process group of its own."""
        told = {"FAULT_KILL": json.dumps(dict(kill))} if kill else {}
        return subprocess.Popen(
            command, cwd=self.root, env=self.variables(**told, **settings), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, driver: str, kill: Kill | None = None, **settings: str) -> Done:
        """A driver to its end, or to where it is killed; what it started is ended with it, as by a power cut."""
        text = ""
        for command in DRIVERS[driver]:
            done = finish(self.start(command, kill, **settings))
            text += done.text
            if done.status:
                break
        if done.killed:
            self.end_strays()
        return Done(done.status, text)

    def must(self, driver: str, **settings: str) -> Done:
        """A driver that must come to its end."""
        done = self.run(driver, **settings)
        if done.status:
            raise RuntimeError(f"{driver} in {self.root} ended with {done.status}:\n{done.text[-3000:]}")
        return done

    def strays(self) -> list[int]:
        """Processes that carry the mark and still run."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if f"FAULT_MARK={self.mark}".encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def end_strays(self) -> None:
        """End them."""
        for pid in self.strays():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        end = time.monotonic() + 10
        while self.strays() and time.monotonic() < end:
            time.sleep(0.05)

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        self.end_strays()
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def visible_faults(self, *, lockfile: bool = True) -> list[str]:
        """Files that a person could open now and that are not what an undisturbed run writes there."""
        reference, faults = outputs(self.bench.reference.root), []
        for name, content in outputs(self.root).items():
            if any(TEMPORARY.search(part) for part in Path(name).parts):
                continue
            if name.startswith("data/checkpoints/"):
                continue
            if content != reference.get(name):
                faults.append(f"{name} differs")
        for path in [*(self.root / "results").rglob("*.json")]:
            if not TEMPORARY.search(path.name):
                faults += [] if _is_json(path) else [f"{path.name} is no JSON"]
        report = self.root / "results/report.html"
        if report.is_file() and not report.read_text().rstrip().endswith("</html>"):
            faults.append("report.html is cut off")
        faults += [f"cache object {path.name} is not what it is called" for path in self.altered_objects()]
        if lockfile and (self.root / "dvc.lock").is_file() and not lock_of(self.root):
            faults.append("dvc.lock is cut off")
        return faults + [f"{path.name}: {said}" for path in self.databases() if (said := _integrity(path)) != "ok"]

    def objects(self) -> Iterator[Path]:
        """Objects of DVC's cache."""
        for path in (self.root / ".dvc/cache/files/md5").rglob("*"):
            if path.is_file() and re.fullmatch(r"[0-9a-f]{30}(\.dir)?", path.name):
                yield path

    def altered_objects(self) -> list[Path]:
        """Those that are not what they are called."""
        return [p for p in self.objects() if _md5(p) != p.parent.name + p.name.removesuffix(".dir")]

    def databases(self) -> list[Path]:
        """SQLite files of MLflow and Prefect."""
        found = [self.root / self.store, self.root / ".prefect/prefect.db"]
        return [path for path in found if path.is_file()]

    def end_faults(self) -> list[str]:
        """What is not as an undisturbed run leaves it, once a restart came to its end."""
        faults, ours, reference = [], outputs(self.root), outputs(self.bench.reference.root)
        faults += [
            f"{name} differs"
            for name in sorted(ours.keys() | reference.keys())
            if ours.get(name) != reference.get(name)
        ]
        if lock_of(self.root) != lock_of(self.bench.reference.root):
            faults.append("dvc.lock differs")
        faults += self.visible_faults()
        faults += [f"{path} is left" for path in leftovers(self.root)]
        faults += [f"process {pid} is left" for pid in self.strays()]
        for lock in (".dvc/tmp/pipeline.lock", "mlflow/.init.lock", ".dvc/tmp/lock"):
            faults += [] if is_free(self.root / lock) else [f"{lock} is held"]
        table = self.root / ".dvc/tmp/rwlock"
        if table.is_file() and any(json.loads(table.read_text()).values()):
            faults.append("DVC's table of locks names a process")
        return faults + self.tracking_faults()

    def tracking_faults(self) -> list[str]:
        """What MLflow lacks of an undisturbed run, or holds twice."""
        theirs = tracked(self.bench.reference.root / "mlflow/mlflow.db")
        ours = tracked(self.root / self.store)
        return [f"MLflow: {name} {ours[name]}, not {theirs[name]}" for name in theirs if ours[name] != theirs[name]]


def finish(process: subprocess.Popen[str], seconds: float = MINUTES) -> Done:
    """Wait for a process; one that does not end is ended, with status 124."""
    try:
        text, _ = process.communicate(timeout=seconds)
        return Done(process.returncode, text or "")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        return Done(124, f"{text}\nhung for {seconds:.0f} s")


def tracked(path: Path) -> dict[str, Any]:
    """How much a store of MLflow remembers: runs by state, metrics with all their steps, versions."""
    if not path.is_file():
        return {"runs": [], "metrics": 0, "versions": 0}
    with sqlite3.connect(path) as database:

        def ask(question: str) -> list[tuple[Any, ...]]:
            return database.execute(question).fetchall()

        runs = sorted(ask("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"))
        metrics = ask(
            "SELECT r.name, m.key, m.step, COUNT(*) FROM metrics m JOIN runs r USING (run_uuid) GROUP BY 1, 2, 3"
        )
        return {"runs": runs, "metrics": sorted(metrics), "versions": ask("SELECT COUNT(*) FROM model_versions")[0][0]}


def lock_of(root: Path) -> dict[str, Any]:
    """``dvc.lock`` without the hashes of outputs that quote the clock; empty where it is cut off."""
    try:
        document: dict[str, Any] = YAML(typ="safe").load((root / "dvc.lock").read_text())
        for stage in document["stages"].values():
            for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
                if (
                    any(part in f"{entry['path']}/" for part in CLOCKED)
                    or "report.html" in entry["path"]
                    or "registration" in entry["path"]
                ):
                    for key in ("md5", "size"):
                        entry.pop(key, None)
        return document
    except Exception:
        return {}


def is_free(path: Path) -> bool:
    """Whether nobody holds a lock file."""
    if not path.exists():
        return True
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    return target


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def _integrity(path: Path) -> str:
    try:
        with sqlite3.connect(path, timeout=20) as database:
            return str(database.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
