"""Around a pipeline: a full or read-only disk, altered files, a wrong clock, and a second pipeline."""

import functools
import http.server
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fault_kills import one_try, row
from benchmarks.fault_project import DVC, Bench, Done, Life, finish
from benchmarks.results import Row
from dconrec_core.data.download import HttpSource, fetch_first, file_sha256
from dconrec_core.errors import DConRecError
from dconrec_core.options import ignore_epochs
from tasks.retention import size_of

YEAR = 365 * 24 * 3600
HOLDER = ("another pipeline (process ", "DVC is busy", "is busy", "Unable to acquire lock")
"""How whoever comes second says that another one is there."""
FLOW_COMMAND = [sys.executable, "-m", "flows.pipeline"]
STAGE_COMMAND = [sys.executable, "-m", "flows.stage", "register"]
ROOM_MB = 400


@contextmanager
def small_disk(life: Life, room: int) -> Iterator[Callable[[str], None]]:
    """The project on a file system of its own with ``room`` bytes left; the block may remount it with other options."""
    kept = life.root.with_name("on-disk")
    life.root.rename(kept)
    life.root.mkdir()
    size = size_of(kept)
    blocks = sum(-(-path.stat().st_size // 4096) for path in kept.rglob("*") if path.is_file())
    _mount("-t", "tmpfs", "-o", f"size={max(size, 4096 * blocks) + room}", "tmpfs", str(life.root))
    try:
        shutil.copytree(kept, life.root, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield lambda options: _mount("-o", f"remount,{options}", str(life.root))
    finally:
        life.end_strays()
        subprocess.run(["umount", "--lazy", str(life.root)], check=True)


def can_mount() -> bool:
    """Whether this machine lets us make small disks."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


def disk_full(bench: Bench, driver: str, room: int) -> Row:
    """The disk is full after ``room`` more bytes; then there is room again."""
    life, faults = bench.fresh(), []
    with small_disk(life, room) as remount:
        done = life.run(driver, **_away(life))
        if done.status and not _told(done):
            faults.append(f"not one line: {done.last}")
        faults += life.visible_faults(lockfile=False)
        remount(f"size={ROOM_MB}m")
        faults += _restarted(life, driver)
    return _ended(life, faults, said=done.last, came=bool(done.status))


def read_only(bench: Bench, driver: str) -> Row:
    """The whole project cannot be written; then it can."""
    life, faults = bench.fresh(), []
    with small_disk(life, ROOM_MB << 20) as remount:
        remount("ro")
        done = life.run(driver, **_away(life))
        if not _told(done):
            faults.append(f"not one line: {done.last}")
        remount("rw")
        faults += _restarted(life, driver)
    return _ended(life, faults, said=done.last)


def _away(life: Life) -> dict[str, str]:
    """Prefect's own database lies on another disk, unless a server is used anyway."""
    return {"PREFECT_HOME": str(life.root.parent / "prefect")}


def _told(done: Done) -> bool:
    """One line, or several of the kind that DVC writes; never a traceback."""
    return done.status not in (0, 124) and "Traceback" not in done.text and bool(done.last)


def _restarted(life: Life, driver: str) -> list[str]:
    done = life.run(driver, **_away(life))
    return [f"the restart ended with {done.status}: {done.last}"] if done.status else life.end_faults()


def _ended(life: Life, faults: list[str], said: str = "", came: bool = True) -> Row:
    """The row; paths in what was said are from the project on, since the folder is another one each time."""
    if not faults:
        life.remove()
    shown = {"said": said.replace(f"{life.root}/", "")[:200]} if said else {}
    return one_try(came, faults, **shown)


# A second pipeline --------------------------------------------------------------------------------------------------


def two_at_once(bench: Bench, first: str, second: str) -> Row:
    """Two first runs in one checkout: at least one ends well, and the other, too, or it says who is there."""
    life, faults = bench.fresh(with_store=False), []
    processes = [life.start(FLOW_COMMAND if driver == "flow" else DVC[1]) for driver in (first, second)]
    ends = [finish(process) for process in processes]
    if all(done.status for done in ends):
        faults.append(f"neither ended well: {ends[0].last} / {ends[1].last}")
    for done in ends:
        if done.status and not (done.status in (1, 255) and any(words in done.text for words in HOLDER)):
            faults.append(f"does not say who is there: {done.last}")
    faults += life.end_faults()
    said = next((line for done in ends for line in done.text.splitlines() if any(w in line for w in HOLDER)), "")
    return _ended(life, faults, said=said)


def two_on_a_fresh_store(bench: Bench) -> Row:
    """Two checkouts that tell the same fresh SQLite file of MLflow of their first runs at once: both end well."""
    lives, faults = [bench.finished(), bench.finished()], []
    shared = f"sqlite:///{lives[0].root.parent / 'shared/mlflow.db'}"
    for life in lives:
        (life.root / "results/registration.json").unlink()
    processes = [life.start(STAGE_COMMAND, MLFLOW_TRACKING_URI=shared) for life in lives]
    for process in processes:
        done = finish(process)
        faults += [f"ended with {done.status}: {done.last}"] if done.status else []
    for life in lives:
        if not faults:
            life.remove()
    return row(1, int(not faults), faults)


# Altered files ------------------------------------------------------------------------------------------------------


def altered_object(bench: Bench, stage: str, out: str, driver: str) -> Row:
    """An object of DVC's cache holds other bytes than its name says, and its output is gone from the project.

    The flow finds it, removes it and runs the stage again. ``dvc repro`` alone takes the cache at its word; a reader or
    the registration then finds it.
    """
    life, faults = bench.finished(), []
    content = {path.read_bytes() for path in _files(life.root / out)}
    spoiled = [path for path in life.objects() if path.read_bytes() in content and path.stat().st_size]
    for path in spoiled:
        _flip(path)
    _remove(life.root / out)
    (life.root / "results/registration.json").unlink()
    done = life.run(driver)
    found = "altered" in done.text or bool(done.status)
    if driver == "dvc" and done.status:
        if "Traceback" in done.text:
            faults.append(f"a traceback: {done.last}")
        _remove(life.root / out)  # the way out that the line names
        life.must("flow")
    if not found:
        faults.append("nobody noticed")
    faults += [fault for fault in life.end_faults() if not fault.startswith("MLflow")]  # it has the reference's, too
    said = next((line for line in done.text.splitlines() if "altered" in line), done.last)
    return _ended(life, faults, said=said)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]


def _flip(path: Path) -> None:
    """Other bytes, the same size, mode and times: what a failing disk does."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.chmod(status.st_mode)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def downloads(folder: Path, tries: int) -> Row:
    """A cached download that is cut off, altered or of another file, and a server that gives any of these."""
    lot, faults, survived = random.Random(0), [], 0
    right = lot.randbytes(3 << 20)
    for number in range(tries):
        place = folder / f"download-{number}"
        served, cache = place / "served", place / "cache"
        served.mkdir(parents=True)
        cache.mkdir()
        (served / "data.zip").write_bytes(right)
        sha256 = file_sha256(served / "data.zip")
        in_cache, behind = lot.choice([None, *SPOILED]), lot.choice([None, None, *SPOILED])
        if in_cache:
            (cache / lot.choice(["data.zip", "data.zip.part"])).write_bytes(SPOILED[in_cache](lot, right))
        if behind:
            (served / "data.zip").write_bytes(SPOILED[behind](lot, right))
        with _serving(served) as url:
            try:
                _, path = fetch_first([HttpSource(url, "data.zip", sha256)], cache, ignore_epochs)
                ended_well = path.read_bytes() == right
            except (DConRecError, OSError) as error:
                ended_well = behind is not None and "\n" not in str(error) and not (cache / "data.zip.new").exists()
        survived += ended_well
        faults += [] if ended_well else [f"cache {in_cache}, server {behind}"]
    shutil.rmtree(folder)
    return row(tries, survived, faults)


SPOILED: Mapping[str, Callable[[random.Random, bytes], bytes]] = {
    "cut off": lambda lot, content: content[: lot.randrange(len(content))],
    "altered": lambda lot, content: content[:1000] + b"?" + content[1001:],
    "empty": lambda lot, content: b"",
    "another": lambda lot, content: lot.randbytes(len(content)),
    "longer": lambda lot, content: content + b"more",
}


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.zip"
        finally:
            server.shutdown()
            thread.join()


# The clock ----------------------------------------------------------------------------------------------------------


def clock_before_the_data(bench: Bench, driver: str) -> Row:
    """The clock says 1971, so every time in the data lies in the future: said with the date; then it is right again."""
    life, faults = bench.fresh(), []
    done = life.run(driver, FAULT_CLOCK=str(YEAR * 1.5 - time.time()))
    if not done.status or "is the clock here wrong (1971" not in done.text or "Traceback" in done.text:
        faults.append(f"not said: {done.last}")
    faults += _restarted(life, driver)
    return _ended(life, faults, said=done.last)


def clock_between_runs(bench: Bench, driver: str, shift: float) -> Row:
    """The clock jumps between two runs, and so do the times of files: nothing is stale, and nothing differs."""
    life, faults = bench.finished(), []
    if driver == "dvc":  # the copy's times are new anyway
        for path in _files(life.root / "data/condensed"):
            os.utime(path, (time.time() + shift, time.time() + shift))
    done = life.run(driver, FAULT_CLOCK=str(shift))
    if done.status:
        faults.append(f"ended with {done.status}: {done.last}")
    if driver == "flow" and "nothing to do" not in done.text:
        faults.append(f"something was stale: {done.last}")
    return _ended(life, faults + life.end_faults())


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
