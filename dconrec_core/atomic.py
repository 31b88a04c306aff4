"""Write all or nothing: everything goes to a temporary name beside its destination and is renamed when complete."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPLACED = "-replaced"
"""Behind the temporary name of a folder: what stood in its place, for the moment between the two renames."""


def _temporary(path: Path) -> Path:
    """Nobody else's, be it a thread of this process or one of the same number in another container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an error of the disk say which file it struck; Arrow's say neither that nor what the system says."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


@contextmanager
def atomic_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    Args:
        path: Where the file belongs.
        suffix: Behind the temporary name, for readers that tell the format by it.
    """
    temporary = _temporary(path)
    temporary = temporary.with_name(f"{temporary.name}{suffix}")
    try:
        with _naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary empty folder to fill; it takes the place of ``path`` when the block ends without an error.

    A process that is killed between the two renames leaves no ``path``; the old one is beside it, see ``REPLACED``.
    """
    temporary = _temporary(path)
    temporary.mkdir()
    replaced = temporary.with_name(f"{temporary.name}{REPLACED}")
    try:
        with _naming(path):
            yield temporary
            if path.exists():
                os.replace(path, replaced)
            os.replace(temporary, path)
    finally:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON with keys in the order given; NaN is an error, since JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
