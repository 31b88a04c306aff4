"""Files from the network: the first source that answers, checked by SHA-256, resumed where it broke off, kept."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from dconrec_core.errors import DataError
from dconrec_core.options import EpochCallback, EpochEvent, ignore_epochs

TIMEOUT_SECONDS = 10
"""To connect, and between two pieces of an answer; a source that is slower than that is passed over."""
PIP_SECONDS = 300
CHUNK = 1 << 20
LOCAL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""The disk's fault: the next source would meet the same."""


class Source(Protocol):
    """One place that has a file."""

    @property
    def name(self) -> str:
        """Name of the file in the cache."""
        ...

    @property
    def sha256(self) -> str:
        """What the file must hash to."""
        ...

    @property
    def manual(self) -> str:
        """How a person gets the file without us."""
        ...

    def fetch(self, target: Path, on_mebibyte: EpochCallback) -> None:
        """Write the complete file to ``target``, unchecked."""
        ...


@dataclass(frozen=True)
class HttpSource:
    """A file behind a URL. What arrived before a break is kept as ``….part`` and gone on with by an HTTP range.

    Args:
        url: Where it is.
        name: Name of the file in the cache.
        sha256: What it must hash to.
    """

    url: str
    name: str
    sha256: str

    @property
    def manual(self) -> str:
        """How a person gets the file."""
        return f"download {self.url}"

    def fetch(self, target: Path, on_mebibyte: EpochCallback) -> None:
        """Download to ``target`` by way of ``<name>.part`` beside it."""
        part = target.with_name(f"{self.name}.part")
        resumed = part.exists() and part.stat().st_size > 0
        self._stream(part, on_mebibyte)
        if resumed and file_sha256(part) != self.sha256:  # the first half was of another file
            part.unlink()
            self._stream(part, on_mebibyte)
        part.replace(target)

    def _stream(self, part: Path, on_mebibyte: EpochCallback) -> None:
        have = part.stat().st_size if part.exists() else 0
        request = Request(self.url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            answer = urlopen(request, timeout=TIMEOUT_SECONDS)
        except HTTPError as error:
            if have and error.code == 416:  # nothing beyond what is here: complete, or another file; the hash tells
                return
            raise
        with answer:
            is_rest = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            have = have if is_rest else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if is_rest else "wb") as file:
                while piece := answer.read(CHUNK):
                    file.write(piece)
                    have += len(piece)
                    on_mebibyte(EpochEvent(f"{self.name}, MiB", -(-have // CHUNK), -(-max(total, have) // CHUNK)))
        if have < total:
            raise ConnectionError(f"it broke off after {have} of {total} bytes; run again to go on from there")


@dataclass(frozen=True)
class WheelSource:
    """A file of a Python package index, fetched by pip, so that the index and proxy this machine uses are respected.

    Args:
        requirement: Exact, such as ``recbole==1.2.1``.
        name: File name of its wheel.
        sha256: What the wheel must hash to.
    """

    requirement: str
    name: str
    sha256: str

    @property
    def command(self) -> tuple[str, ...]:
        """What pip is told, but for the folder. A wheel is a zip file: nothing of it is installed or run."""
        return ("download", "--no-deps", "--only-binary=:all:", self.requirement)

    @property
    def manual(self) -> str:
        """How a person gets the file."""
        return f"run pip {' '.join(self.command)}"

    def fetch(self, target: Path, on_mebibyte: EpochCallback) -> None:
        """Let pip download into a temporary folder beside ``target``."""
        quick = ("--disable-pip-version-check", "--retries=1", f"--timeout={TIMEOUT_SECONDS}")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{self.name}.pip-") as folder:
            command = [sys.executable, "-m", "pip", *self.command, *quick, "--dest", folder]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"pip did not finish within {PIP_SECONDS} s") from None
            arrived = Path(folder) / self.name
            if done.returncode or not arrived.is_file():
                raise _complaint(done.stderr if done.returncode else "", target)
            arrived.replace(target)


def fetch_first(sources: Sequence[Source], cache: Path, on_mebibyte: EpochCallback = ignore_epochs) -> tuple[int, Path]:
    """The first source that can be had: from the cache, else from the network, in the order given.

    Whoever asks for a file that another thread or process fetches waits, and takes it from the cache.

    Args:
        sources: Places of the same content, the best first.
        cache: Folder that keeps what was fetched.
        on_mebibyte: Hears of each MiB, as epochs of a training are heard of.

    Returns:
        Which source, and its file in the cache, checked.

    Raises:
        DataError: None answered with the right file; the message says what to put where by hand.
        OSError: The cache cannot be written.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if found := _cached(sources, cache):
        return found
    problems: list[str] = []
    failure: OSError | None = None
    for place, source in enumerate(sources):
        try:
            with FileLock(cache / f".{source.name}.lock"):
                return _cached(sources, cache) or (place, _fetched(source, cache, on_mebibyte))
        except OSError as error:
            if error.errno in LOCAL_ERRORS:
                error.filename = error.filename or str(cache / source.name)
                raise
            failure = error
            problems.append(f"{source.name}: {_reason(error)}")
        except DataError as error:
            problems.append(f"{source.name}: {error}")
    ways = " or ".join(f"{s.manual} to {cache / s.name} (sha256 {s.sha256})" for s in sources)
    raise DataError(f"no source answered ({'; '.join(problems)}); by hand: {ways}, then run again") from failure


def _cached(sources: Sequence[Source], cache: Path) -> tuple[int, Path] | None:
    for place, source in enumerate(sources):
        if (cache / source.name).is_file() and file_sha256(cache / source.name) == source.sha256:
            return place, cache / source.name
    return None


def _fetched(source: Source, cache: Path, on_mebibyte: EpochCallback) -> Path:
    arrived = cache / f"{source.name}.new"
    try:
        source.fetch(arrived, on_mebibyte)
        if (found := file_sha256(arrived)) != source.sha256:
            raise DataError(f"its sha256 is {found}, expected {source.sha256}")
        return arrived.replace(cache / source.name)
    except HTTPException as error:  # which is no OSError
        raise ConnectionError(f"its answer is cut off or not HTTP: {type(error).__name__} {error}") from error
    finally:
        arrived.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_member(archive: Path, member: str) -> bytes:
    """One file out of a zip archive, in memory.

    Raises:
        DataError: See ``open_member``.
    """
    with open_member(archive, member) as file:
        return file.read()


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """One file in a zip archive, as a stream: nothing is extracted, so no name in it can lead out of a folder.

    Raises:
        DataError: It is no zip archive, it has no such member, or, while that is read, it turns out to be damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if member not in opened.namelist():
                raise DataError(f"{archive} holds no {member}; delete it and run again")
            with opened.open(member) as file:
                yield file
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is not a readable zip archive ({error}); delete it and run again") from None


def _complaint(stderr: str, target: Path) -> OSError:
    """What went wrong in pip: the disk, which it names by number, or whatever it says of the index."""
    numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", stderr)} & LOCAL_ERRORS
    if numbers:
        number = min(numbers)
        return OSError(number, os.strerror(number), str(target))
    said = [line.strip() for line in stderr.splitlines() if line.strip()] or ["it brought no such wheel"]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return ConnectionError(f"pip: {(errors or said)[-1]}")


def _reason(error: OSError) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = getattr(error, "reason", error)  # what urllib wraps
    return " ".join(str(getattr(cause, "strerror", None) or cause).split())
