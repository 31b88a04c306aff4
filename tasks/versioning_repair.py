"""DVC's own files after a kill: it writes ``dvc.lock`` and its table of locks in place, so either may be cut off."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil
from dvc.lock import make_lock
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dconrec_core.atomic import write_json, write_text
from tasks.versioning import told

LOCKFILE = "dvc.lock"
ENTRY = re.compile(r"[0-9a-f]{64}")
"""Name of an entry of DVC's cache of runs."""


def repair(root: Path) -> list[str]:
    """Put right what a killed process cut off; what DVC has written to its end is left alone.

    ``dvc.lock`` comes back as Git has it, or is removed: the stages that it no longer knows of then come back from
    DVC's cache of runs. From its table of locks go the processes that have ended; one that cannot be read goes whole.
    From its cache of runs go folders without an entry, which DVC would stumble over.

    Returns:
        What was put right, in words.

    Raises:
        VersioningError: DVC is at work in this folder.
    """
    if "DVC_STAGE" in os.environ:  # DVC is at work, and has just read both
        return []
    return [*_lockfile(root), *_table_of_locks(root), *_cache_of_runs(root)]


def _lockfile(root: Path) -> list[str]:
    path = root / LOCKFILE
    if not path.is_file() or _is_whole(path.read_bytes()):
        return []
    (root / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    with told(root), make_lock(str(root / ".dvc/tmp/lock")):
        content = path.read_bytes()
        if _is_whole(content):  # it was being written
            return []
        committed = _committed(root)
        if committed is None:
            path.unlink()
            return [f"{LOCKFILE} was cut off and is removed; finished stages come back from the cache"]
        write_text(path, committed.decode())
        return [f"{LOCKFILE} was cut off and is again what Git has; finished stages come back from the cache"]


def _committed(root: Path) -> bytes | None:
    command = ["git", "show", f"HEAD:./{LOCKFILE}"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 and _is_whole(done.stdout) else None


def _is_whole(content: bytes) -> bool:
    """Whether it is a lock file to its last line; one that lacks whole stages at its end is, too."""
    try:
        document: Any = YAML(typ="safe").load(content.decode())
    except (YAMLError, UnicodeDecodeError, ValueError):
        return False
    stages = document.get("stages") if isinstance(document, dict) and "schema" in document else None
    return content.endswith(b"\n") and isinstance(stages, dict) and all(map(_is_entry, stages.values()))


def _is_entry(entry: Any) -> bool:
    outs = entry.get("outs") if isinstance(entry, dict) and "cmd" in entry else None
    return isinstance(outs, list) and all(
        isinstance(out, dict) and {"path", "md5", "size"} <= out.keys() for out in outs
    )


def _table_of_locks(root: Path) -> list[str]:
    path = root / ".dvc/tmp/rwlock"
    if not path.is_file():
        return []
    with told(root), make_lock(str(path.with_name("rwlock.lock"))):
        try:
            table, written = json.loads(path.read_bytes()), path.stat().st_mtime
            writers, readers = table.get("write", {}), table.get("read", {})
            left = {file: [one for one in entries if _holds(one, written)] for file, entries in readers.items()}
            kept = {
                "write": {file: entry for file, entry in writers.items() if _holds(entry, written)},
                "read": {file: entries for file, entries in left.items() if entries},
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            path.unlink()
            return ["DVC's table of locks was cut off and is removed"]
        if kept == {"write": {}, "read": {}} | table:
            return []
        write_json(path, kept)
        return ["DVC's table of locks named processes that have ended"]


def _holds(entry: dict[str, Any], written: float) -> bool:
    """Whether the process of an entry may be the one that wrote it, and not a later one of the same number."""
    try:
        return psutil.Process(int(entry["pid"])).create_time() <= written + 1
    except psutil.NoSuchProcess:
        return False


def _cache_of_runs(root: Path) -> list[str]:
    folders = [path for path in (root / ".dvc/cache/runs").glob("*/*") if path.is_dir()]
    if not any(_half_entries(folder) for folder in folders):
        return []
    with told(root), make_lock(str(root / ".dvc/tmp/lock")):
        for folder in folders:
            for path in _half_entries(folder):
                path.unlink() if path.is_file() else path.rmdir()
            if folder.is_dir() and _half_entries(folder):  # nothing is left in it
                folder.rmdir()
    return ["an entry of DVC's cache of runs was cut off and is removed"]


def _half_entries(folder: Path) -> list[Path]:
    """Files that were to be renamed to an entry; the folder itself where it holds nothing."""
    inner = list(folder.iterdir())
    return [path for path in inner if not ENTRY.fullmatch(path.name)] if inner else [folder]
