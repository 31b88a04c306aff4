"""Downloads against a server of our own: resumed, checked, kept, passed over, and never half-written."""

import errno
import hashlib
import io
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dconrec_core.data import download
from dconrec_core.data.download import HttpSource, WheelSource, fetch_first, file_sha256, read_member
from dconrec_core.errors import DataError
from dconrec_core.options import EpochEvent

CONTENT = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked."""

    url: str = ""
    break_after: int | None = None
    pause: float = 0.0
    ranges: bool = True
    ranges_asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state.ranges_asked.append(asked)
            start = int(re.findall(r"\d+", asked)[0]) if asked and state.ranges else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            time.sleep(state.pause)
            end = len(CONTENT) if state.break_after is None else start + state.break_after
            self.wfile.write(CONTENT[start:end])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/file.zip"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def test_download_is_checked_kept_and_not_repeated(tmp_path: Path, server: Server):
    source = HttpSource(server.url, "file.zip", SHA256)
    heard: list[EpochEvent] = []
    assert fetch_first([source], tmp_path / "cache", heard.append) == (0, tmp_path / "cache/file.zip")
    assert (tmp_path / "cache/file.zip").read_bytes() == CONTENT
    assert [(event.epoch, event.total) for event in heard][-1] == (3, 3)
    fetch_first([source], tmp_path / "cache")
    assert len(server.ranges_asked) == 1
    assert [path.name for path in (tmp_path / "cache").glob("[!.]*")] == ["file.zip"]


def test_a_broken_download_is_gone_on_with(tmp_path: Path, server: Server):
    source = HttpSource(server.url, "file.zip", SHA256)
    server.break_after = 1_000_000
    with pytest.raises(DataError, match="broke off after 1000000 of 2560000 bytes; run again to go on"):
        fetch_first([source], tmp_path)
    assert not (tmp_path / "file.zip").exists()
    server.break_after = None
    fetch_first([source], tmp_path)
    assert server.ranges_asked == [None, "bytes=1000000-"]
    assert file_sha256(tmp_path / "file.zip") == SHA256


def test_what_many_want_at_once_is_downloaded_once(tmp_path: Path, server: Server):
    server.pause = 0.3
    dead = HttpSource("http://127.0.0.1:9/none", "dead.zip", SHA256)
    sources = [dead, HttpSource(server.url, "file.zip", SHA256)]
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: fetch_first(sources, tmp_path), range(4)))
    assert places == [(1, tmp_path / "file.zip")] * 4
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.ranges_asked == [None]


def test_who_waited_for_a_download_that_broke_off_goes_on_with_it(tmp_path: Path, server: Server):
    server.pause, server.break_after = 0.3, 1_500_000
    source = HttpSource(server.url, "file.zip", SHA256)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(fetch_first, [source], tmp_path) for _ in range(2)]
        failed = [one.exception() for one in ended if one.exception()]
    assert [str(one).split(";")[0] for one in failed] == [
        "no source answered (file.zip: it broke off after 1500000 of 2560000 bytes"
    ]
    assert server.ranges_asked == [None, "bytes=1500000-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_of_another_file_is_thrown_away(tmp_path: Path, server: Server, ranges: bool):
    server.ranges = ranges
    (tmp_path / "file.zip.part").write_bytes(b"something else")
    fetch_first([HttpSource(server.url, "file.zip", SHA256)], tmp_path)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_part_that_is_complete_needs_no_more(tmp_path: Path, server: Server):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    fetch_first([HttpSource(server.url, "file.zip", SHA256)], tmp_path)
    assert server.ranges_asked == [f"bytes={len(CONTENT)}-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_the_next_source_is_tried_and_its_place_told(tmp_path: Path, server: Server):
    dead = HttpSource("http://127.0.0.1:9/none", "dead.zip", SHA256)
    wrong = HttpSource(server.url, "wrong.zip", "0" * 64)
    assert fetch_first([dead, wrong, HttpSource(server.url, "file.zip", SHA256)], tmp_path) == (
        2,
        tmp_path / "file.zip",
    )
    assert not (tmp_path / "wrong.zip").exists()


def test_a_cached_copy_of_a_later_source_saves_the_network(tmp_path: Path):
    (tmp_path / "file.zip").write_bytes(CONTENT)
    dead = HttpSource("http://127.0.0.1:9/none", "dead.zip", SHA256)
    assert fetch_first([dead, HttpSource("http://127.0.0.1:9/none", "file.zip", SHA256)], tmp_path)[0] == 1


def test_a_spoilt_cached_copy_is_fetched_again(tmp_path: Path, server: Server):
    (tmp_path / "file.zip").write_bytes(b"spoilt")
    fetch_first([HttpSource(server.url, "file.zip", SHA256)], tmp_path)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_when_nothing_answers_the_message_is_the_way_out(tmp_path: Path, server: Server):
    dead = HttpSource("http://127.0.0.1:9/none", "dead.zip", SHA256)
    wrong = HttpSource(server.url, "wrong.zip", "0" * 64)
    with pytest.raises(DataError) as caught:
        fetch_first([dead, wrong], tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert "dead.zip: " in text
    assert "refused" in text
    assert f"wrong.zip: its sha256 is {SHA256}" in text
    assert f"download {dead.url} to {tmp_path / 'dead.zip'} (sha256 {SHA256})" in text
    assert isinstance(caught.value.__cause__, OSError)  # another try may help


def test_a_full_disk_stops_at_once_and_names_the_file(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_: Full())
    with pytest.raises(OSError, match="No space left on device") as caught:
        fetch_first([HttpSource(server.url, "file.zip", SHA256)] * 2, tmp_path)
    assert caught.value.filename == str(tmp_path / "file.zip")
    assert len(server.ranges_asked) == 1


def wheel(name: str, content: bytes) -> WheelSource:
    return WheelSource("thing==1.0", name, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"no such thing as a status line\r\n\r\n", "BadStatusLine no such thing as a status line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", "IncompleteRead"),
    ],
)
def test_an_answer_that_is_not_http_is_passed_over(tmp_path: Path, server: Server, answer: bytes, said: str):
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        listening.settimeout(10)

        def odd() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        answered = pool.submit(odd)
        source = HttpSource(f"http://127.0.0.1:{listening.getsockname()[1]}/odd.zip", "odd.zip", SHA256)
        with pytest.raises(DataError, match=rf"odd\.zip: its answer is cut off or not HTTP: {said}.*; by hand: "):
            fetch_first([source], tmp_path)
        fetched = fetch_first([source, HttpSource(server.url, "file.zip", SHA256)], tmp_path)
        assert fetched == (1, tmp_path / "file.zip")
        answered.result()


def test_pip_is_asked_for_exactly_one_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[list[str]] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        (Path(command[-1]) / "thing.whl").write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.subprocess, "run", pip)
    fetch_first([wheel("thing.whl", CONTENT)], tmp_path)
    assert asked[0][:3] == [sys.executable, "-m", "pip"]
    assert {"download", "--no-deps", "--only-binary=:all:", "thing==1.0"} <= set(asked[0])
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["thing.whl"]


def test_pip_that_fails_is_quoted_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(download.subprocess, "run", pip)
    with pytest.raises(
        DataError, match=r"thing\.whl: pip: No matching distribution found\); by hand: run pip download"
    ):
        fetch_first([wheel("thing.whl", CONTENT)], tmp_path)

    def none(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "/env/bin/python: No module named pip\n\n")

    monkeypatch.setattr(download.subprocess, "run", none)
    with pytest.raises(DataError, match=r"thing\.whl: pip: /env/bin/python: No module named pip\); by hand: "):
        fetch_first([wheel("thing.whl", CONTENT)], tmp_path)

    def full(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(command[-1]) / "thing.whl").write_bytes(CONTENT[:100])
        return subprocess.CompletedProcess(
            command, 2, "", "ERROR: Exception:\nOSError: [Errno 28] No space left on device\n"
        )

    monkeypatch.setattr(download.subprocess, "run", full)
    with pytest.raises(OSError, match=r"No space left on device: .*thing\.whl"):
        fetch_first([wheel("thing.whl", CONTENT)], tmp_path)

    def slow(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(download.subprocess, "run", slow)
    with pytest.raises(DataError, match="pip did not finish within 300 s"):
        fetch_first([wheel("thing.whl", CONTENT)], tmp_path)


def test_archives_are_read_and_never_extracted(tmp_path: Path):
    archive = tmp_path / "inside/evil.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../../outside.txt", "x")
        opened.writestr("good.txt", "y")
    assert read_member(archive, "good.txt") == b"y"
    assert read_member(archive, "../../outside.txt") == b"x"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["evil.zip"]


def test_archives_that_are_none(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"a\.zip is not a readable zip archive .*delete it and run again"):
        read_member(path, "x")
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("y", "")
    with pytest.raises(DataError, match=r"a\.zip holds no x; delete it"):
        read_member(path, "x")


def test_a_damaged_archive_is_named_while_it_is_read(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("x", bytes(range(256)) * 2000)
    content = bytearray(path.read_bytes())
    content[60:80] = b"?" * 20
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip is not a readable zip archive .*delete it and run again"):
        read_member(path, "x")
