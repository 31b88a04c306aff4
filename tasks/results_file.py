"""Results files: measured rows in one JSON file, written row by row by one command.

A run that stops half-way goes on where it was: a finished row counts as long as everything that determined it, the
code of the core and the versions of the packages included, is still the same. A row of older code or packages stays in
the file, with the commit that it is of, until its case is measured again.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from dconrec_core.atomic import atomic_file
from dconrec_core.code import core_fingerprint
from dconrec_core.errors import DataError

ROOT = Path(__file__).parents[1]
PACKAGES = ("numba", "numpy", "pandas", "scipy", "torch")

WAY_OUT = "remove it, and what writes it measures again"

Row = dict[str, Any]


class Results:
    """One results file that grows row by row and is complete on disk after each.

    Args:
        path: The file.
        command: What writes it, as typed by a user.
        apart_from: Folders and files of the core that its rows do not depend on.
        identity: A new row replaces the one that agrees with it in these; in all that a row shows of its case by
            default. ``nested`` stands for what it does not show, so that rows of other settings stay.
    """

    def __init__(
        self, path: Path, command: str, apart_from: tuple[str, ...] = (), identity: tuple[str, ...] = ()
    ) -> None:
        self.path, self.identity = path, identity
        self.core = core_fingerprint(*apart_from)
        self._header = {
            "command": command,
            "commit": commit(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "machine": machine(),
        }
        self.packages = _digest(self._header["versions"])
        self._rows: dict[str, Row] = {row["key"]: row for row in self._still_true() if row.get("core") == self.core}
        if self._rows:
            self._header["started"] = _read(path)["started"]

    def find(self, case: Mapping[str, Any]) -> Row | None:
        """The finished row of a case; None where there is none yet."""
        key = self.key(case)
        if key not in self._rows:  # unless another part has measured it meanwhile
            self._rows |= {row["key"]: row for row in self._still_true() if row["key"] == key}
        return self._rows.get(key)

    def _still_true(self) -> list[Row]:
        """Rows on disk that were measured with the packages of today; the header knows of the last run's alone."""
        rows = read_rows(self.path)
        if not all("key" in row for row in rows):
            raise DataError(f"{self.path} holds rows that this did not measure; {WAY_OUT}")
        return [row for row in rows if row["packages"] == self.packages]

    def row(self, case: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]], anew: bool = False) -> Row:
        """The row of a case: the finished one, or what ``measure`` gives, written before it is returned.

        Args:
            case: Everything that determines the row beside code and versions: names, ratio, seed, settings and the
                fingerprint of the source data. Nested values count for the key but are left out of the row.
            measure: The figures, flat; may correct a value of the case that only the run knows.
            anew: Whether to measure also what is there.
        """
        if not anew and (found := self.find(case)):
            return found
        key, flat = self.key(case), _flat(case)
        nested = {"nested": _digest({name: value for name, value in case.items() if name not in flat})}
        stamp = {**nested, "key": key, "core": self.core, "commit": self._header["commit"], "packages": self.packages}
        measured = {**flat, **measure(), **stamp}
        with self._alone():  # what the file holds now, but for what this row replaces
            self._rows[key] = measured
            others = (row for row in read_rows(self.path) if row["key"] != key)
            names = self.identity or tuple(flat)
            # A row from before rows said what their settings were is of the same.
            kept = [row for row in others if any(({**nested, **row}).get(name) != measured[name] for name in names)]
            self._write([*kept, measured])
        return measured

    def finish(self, cases: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Drop rows of cases that are no longer asked for, older ones included, and put the rest in this order."""
        keys = [self.key(case) for case in cases]
        with self._alone():  # another part may have measured some of them meanwhile
            self._rows |= {row["key"]: row for row in self._still_true()}
            self._rows = {key: self._rows[key] for key in keys if key in self._rows}
            self._write(list(self._rows.values()))
        return list(self._rows.values())

    def forget(self, cases: Iterable[Mapping[str, Any]]) -> None:
        """Drop rows that are of none of these cases, by what a row shows of its case; whatever code they are of."""
        wanted = [_flat(case) for case in cases]
        names = list(dict.fromkeys(name for flat in wanted for name in flat))
        known = {_identity(flat, names) for flat in wanted}
        with self._alone():
            rows = read_rows(self.path)
            kept = [row for row in rows if _identity(row, names) in known]
            if len(kept) < len(rows):
                self._write(kept)

    def key(self, case: Mapping[str, Any]) -> str:
        """Identity of a case under this code."""
        text = json.dumps({"core": self.core, **case}, sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Parts of one benchmark may run side by side; each adds its rows to those of the others."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            yield

    def _write(self, rows: list[Row]) -> None:
        content = {**self._header, "rows": rows}
        with atomic_file(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file; none where it does not exist yet.

    Each says by which versions of the packages it was measured; one that does not is of those in the header.
    """
    content = _read(path)
    last = _digest(content.get("versions"))
    return [{**row, "packages": row.get("packages", last)} for row in content.get("rows", [])]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()[:8]


def _flat(case: Mapping[str, Any]) -> Row:
    return {name: value for name, value in case.items() if not isinstance(value, Mapping | list | tuple)}


def _identity(row: Row, names: Iterable[str]) -> str:
    return json.dumps([row.get(name) for name in names], default=_plain)


def commit() -> str:
    """The commit checked out, with ``-dirty`` where tracked files differ from it, results and pages of them apart."""
    described = _git("rev-parse", "--short=12", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results", ":!docs", ":!*.md"
    )
    return f"{described}-dirty" if described and changed else described or "unknown"


def versions() -> dict[str, str]:
    """Versions that may move a figure."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def machine() -> dict[str, Any]:
    """What the figures were measured on, without its name."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(gigabytes, 1),
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); {WAY_OUT}") from None
    rows = content.get("rows", []) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} holds no rows of measurements; {WAY_OUT}")
    return dict(content)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return ""
    return done.stdout.strip()


def _plain(value: Any) -> Any:
    """NumPy scalars and paths as JSON."""
    return value.item() if hasattr(value, "item") else str(value)
