"""What DVC knows: whether a stage is stale and why, its outputs in the cache, its commit.

Only it and its neighbours ``tasks/versioning_*.py`` import DVC.
"""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import CollectCacheError, DvcException
from dvc.lock import Lock, LockError
from dvc.output import Output
from dvc.repo import Repo
from dvc.repo.experiments.utils import exp_refs_by_names
from dvc.scm import SCMError
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError, _can_hash
from dvc_objects.errors import ObjectFormatError

from dconrec_core.errors import DConRecError


class VersioningError(DConRecError):
    """DVC cannot say what is stale, or cannot remember it."""


class BusyError(VersioningError):
    """Another process works with DVC in the same folder."""


class PatientLock(Lock):
    """DVC's lock of a repository, waited for as ``dvc --wait-for-lock`` does, and said where DVC itself would give up.

    ``dvc push`` holds it to its end, which must not cost a running job what it has computed. The system frees it when
    its holder ends, however that ends.
    """

    def __init__(self, root: Path, lockfile: str) -> None:
        super().__init__(lockfile)
        self._root = root

    def lock(self) -> None:
        """Take it, however long another process has it."""
        self._wait = False
        try:
            super().lock()
        except LockError as error:
            print(f"waiting for another dvc command{_holder(self._root, error)} to end", file=sys.stderr, flush=True)
            self._wait = True
            super().lock()


class Versions:
    """The DVC repository of one project.

    Args:
        root: Its folder.
        wait: Whether to wait as long as another process has DVC's lock, and not for three seconds. A hard link for a
            lock (``core.hardlink_lock``) is never waited for: it outlives its holder.

    Raises:
        VersioningError: ``root`` is not under Git and DVC; the way out is in the message.
    """

    def __init__(self, root: Path, *, wait: bool = True) -> None:
        logging.getLogger("dvc").setLevel(logging.ERROR)  # the console says the same in its own words
        place = self._root = root.resolve()
        if not (root / ".dvc").is_dir():
            raise VersioningError(
                f"{place} is not a DVC project, so nothing can tell what is stale; "
                "clone the project with git, or run: git init && dvc init -f"
            )
        try:
            self._repo = Repo(str(root))
            self._git = self._repo.scm
        except SCMError:
            raise VersioningError(
                f"{place} is not a Git repository (a downloaded archive?), so DVC cannot version its files; "
                "clone the project with git, or run: git init && git add -A && git commit -m start"
            ) from None
        if wait and isinstance(self._repo.lock, Lock):
            self._repo.lock = PatientLock(place, self._repo.lock.lockfile)

    def __enter__(self) -> "Versions":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of DVC's own databases."""
        self._repo.close()

    def reasons(self, stage: str) -> list[str]:
        """Why ``stage`` is stale, in a few words each; empty when it is fresh.

        Direct reasons alone: ask stage by stage, in order, after the ones before are done.
        """
        with told(self._root):
            status = self._repo.status(targets=[stage])
        return [reason for entry in status.get(stage, []) for reason in _words(entry)]

    def inputs(self, stage: str) -> dict[str, object]:
        """What ``stage`` depends on as it is now: the hash of each file and folder, the value of each setting."""
        with told(self._root), self._repo.lock:
            self._repo._reset()
            found = self._repo.stage.collect(stage)[0]
            found.save_deps()
        inputs: dict[str, object] = {}
        for dep in found.deps:
            inputs |= dep.hash_info.value if isinstance(dep, ParamsDependency) else {str(dep): dep.hash_info.value}
        return inputs

    def restore(self, stage: str) -> bool:
        """Check out outputs that an earlier run with the same inputs left in the cache; False where none did.

        DVC trusts what its cache holds under a name. An object whose content is not what its name says is removed, and
        said, and the stage runs again.
        """
        with told(self._root), self._repo.lock:
            self._repo._reset()
            if altered := self._remove_altered(self._repo.stage.collect(stage)[0]):
                print(f"{stage}: {len(altered)} altered objects removed from {altered[0].parents[1]}", file=sys.stderr)
            try:
                self._repo.stage_cache.restore(self._repo.stage.collect(stage)[0])
            except RunCacheNotFoundError:
                return False
        self.commit(stage)
        return True

    def _remove_altered(self, stage: Stage) -> list[Path]:
        """Remove objects of the cache that ``stage`` could be restored from and that are not what they are called.

        It leaves the dependencies of the object ``stage`` as they are now on disk.
        """
        cache, stage_cache = self._repo.cache.local, self._repo.stage_cache
        stage.save_deps()
        stages = [stage]
        if _can_hash(stage) and (entry := stage_cache._load(stage)):
            stages.append(stage_cache._create_stage(entry, wdir=stage.wdir))
        try:
            oids = {o.value for one in stages for used in one.get_used_objs().values() for o in used if o.value}
        except (CollectCacheError, ObjectFormatError):
            return []
        altered = []
        for oid in sorted(oids):
            path = Path(cache.oid_to_path(oid))
            if path.is_file() and _md5(path) != oid.removesuffix(".dir"):
                path.unlink()
                altered.append(path)
        return altered

    def altered(self) -> list[Path]:
        """Outputs whose bytes are not what ``dvc.lock`` says; those of which it or the cache says nothing are left out.

        So are the user's own files (``dvc add``): a change there is a reason to run, and no damage.

        DVC itself goes by size and time of change, and takes what it checks out from its cache for what it asked for.
        """
        with told(self._root):
            outs = [out for out in self._repo.index.outs if out.hash_info and out.use_cache]
            outs = [out for out in outs if not out.stage.is_data_source]
            return [path for out in outs for path, md5 in self._contents(out) if path.is_file() and _md5(path) != md5]

    def _contents(self, out: Output) -> Iterator[tuple[Path, str]]:
        """Each file of an output, relative to the project, with the MD5 it must have."""
        path = Path(out.fs_path).relative_to(self._repo.root_dir)
        if not out.hash_info.isdir:
            yield self._root / path, str(out.hash_info.value)
        elif tree := out.get_obj():
            yield from ((self._root / path.joinpath(*key), str(info.value)) for key, _, info in tree)

    def commit(self, stage: str) -> None:
        """Remember what lies on disk as the outputs of ``stage``; call it after success only.

        Inside ``dvc repro`` (``DVC_STAGE`` is set) DVC commits by itself, and a second commit would race with it.
        """
        if "DVC_STAGE" in os.environ:
            return
        with told(self._root):
            self._repo.commit(stage, force=True)

    def add(self, path: Path) -> str:
        """Make a file's present content a version of it, kept in the cache; its hash, as ``<file>.dvc`` has it.

        Raises:
            VersioningError: It is outside the project, or an output of a stage.
        """
        with told(self._root):
            (stage,) = self._repo.add(str(path))
            return str(stage.outs[0].hash_info.value)

    def hash_of(self, path: Path) -> str | None:
        """DVC's hash of an output as ``dvc.lock`` has it, ``….dir`` for a folder; None before its first commit."""
        with told(self._root):
            for out in self._repo.index.outs:
                if Path(out.fs_path) == (Path(self._repo.root_dir) / path):
                    return str(out.hash_info.value) if out.hash_info else None
        return None

    def metrics_of(self, revision: str) -> dict[str, Any]:
        """What ``dvc metrics show`` has for a commit or an experiment, of all files in one; empty where it has none."""
        with told(self._root):
            shown = self._repo.metrics.show(revs=[revision]).get(revision, {}).get("data", {})
        return {key: value for file in shown.values() for key, value in file.get("data", {}).items()}

    def has_experiment(self, name: str) -> bool:
        """Whether an experiment of that name was finished, from whatever commit: DVC gives it the name at its end."""
        with told(self._root):
            return name in exp_refs_by_names(self._git, {name})

    def set_local(self, section: str, option: str, value: str) -> None:
        """Set an option of DVC in ``.dvc/config.local``, which Git does not track."""
        with told(self._root), self._repo.config.edit("local") as config:
            config.setdefault(section, {})[option] = value

    def git_commit(self) -> str:
        """The commit that is checked out, and whether anything was changed since."""
        with told(self._root):
            commit = str(self._git.get_rev())
            return f"{commit} (changed)" if self._git.is_dirty() else commit


def _words(entry: str | Mapping[str, Any]) -> Iterator[str]:
    """A status of DVC in words: it is one, or ``{"changed deps": {"params.yaml": {"seed": "modified"}}}``."""
    if isinstance(entry, str):
        yield entry
        return
    for changes in entry.values():
        for path, change in changes.items():
            if isinstance(change, Mapping):
                yield from (f"{key} {how}" for key, how in change.items())
            else:
                yield f"{path} {change}"


@contextmanager
def told(root: Path) -> Iterator[None]:
    """DVC's errors as ours."""
    try:
        yield
    except LockError as error:
        raise BusyError(
            f"DVC is busy in this folder: another dvc command or pipeline{_holder(root, error)} runs; wait for it"
        ) from error
    except DvcException as error:
        raise VersioningError(f"dvc: {' '.join(str(error).split())}") from error


def _holder(root: Path, error: LockError) -> str:
    """Who keeps DVC busy, in brackets: what the error says of a stage's files, or what the lock of the whole says."""
    if blockers := re.findall(r"\(PID (\d+)\): (.*)", str(error)):
        return f" (process {blockers[0][0]}: {blockers[0][1]})"
    try:
        pid = int((root / ".dvc/tmp/lock").read_text())
    except (OSError, ValueError):
        return ""
    return f" (process {pid})"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
