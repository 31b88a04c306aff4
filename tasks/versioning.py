"""What DVC knows: whether a stage is stale and why, its outputs in the cache, its commit. The only importer of DVC."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.scm import SCMError
from dvc.stage.cache import RunCacheNotFoundError

from dconrec_core.errors import DConRecError


class VersioningError(DConRecError):
    """DVC cannot say what is stale, or cannot remember it."""


class Versions:
    """The DVC repository of one project.

    Raises:
        VersioningError: ``root`` is not under Git and DVC; the way out is in the message.
    """

    def __init__(self, root: Path) -> None:
        logging.getLogger("dvc").setLevel(logging.ERROR)  # the console says the same in its own words
        place = root.resolve()
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
        with _told():
            status = self._repo.status(targets=[stage])
        return [reason for entry in status.get(stage, []) for reason in _words(entry)]

    def restore(self, stage: str) -> bool:
        """Check out outputs that an earlier run with the same inputs left in the cache; False where none did."""
        with _told(), self._repo.lock:
            self._repo._reset()
            try:
                self._repo.stage_cache.restore(self._repo.stage.collect(stage)[0])
            except RunCacheNotFoundError:
                return False
        self.commit(stage)
        return True

    def commit(self, stage: str) -> None:
        """Remember what lies on disk as the outputs of ``stage``; call it after success only.

        Inside ``dvc repro`` (``DVC_STAGE`` is set) DVC commits by itself, and a second commit would race with it.
        """
        if "DVC_STAGE" in os.environ:
            return
        with _told():
            self._repo.commit(stage, force=True)

    def add(self, path: Path) -> str:
        """Make a file's present content a version of it, kept in the cache; its hash, as ``<file>.dvc`` has it.

        Raises:
            VersioningError: It is outside the project, or an output of a stage.
        """
        with _told():
            (stage,) = self._repo.add(str(path))
            return str(stage.outs[0].hash_info.value)

    def hash_of(self, path: Path) -> str | None:
        """DVC's hash of an output as ``dvc.lock`` has it, ``….dir`` for a folder; None before its first commit."""
        with _told():
            for out in self._repo.index.outs:
                if Path(out.fs_path) == (Path(self._repo.root_dir) / path):
                    return str(out.hash_info.value) if out.hash_info else None
        return None

    def set_local(self, section: str, option: str, value: str) -> None:
        """Set an option of DVC in ``.dvc/config.local``, which Git does not track."""
        with _told(), self._repo.config.edit("local") as config:
            config.setdefault(section, {})[option] = value

    def git_commit(self) -> str:
        """The commit that is checked out, and whether anything was changed since."""
        with _told():
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
def _told() -> Iterator[None]:
    """DVC's errors as ours."""
    try:
        yield
    except LockError as error:
        raise VersioningError(
            "DVC is busy in this folder: another dvc command or pipeline runs; wait for it"
        ) from error
    except DvcException as error:
        raise VersioningError(f"dvc: {' '.join(str(error).split())}") from error
