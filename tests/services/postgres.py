"""A PostgreSQL of its own for the tests, in a temporary folder, on loopback, with a password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.served import HOST
from flows.servers import free_port

USER = "dconrec"
UNPRIVILEGED = ("postgres", "nobody")
"""Who runs the server where the tests run as root, which PostgreSQL refuses."""


@dataclass(frozen=True)
class Postgres:
    """A server that runs."""

    port: int
    password: str

    def url(self, driver: str, database: str, password: str | None = None) -> str:
        return f"postgresql+{driver}://{USER}:{password or self.password}@{HOST}:{self.port}/{database}"


def programs() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


@contextmanager
def running(bin_: Path, password: str, *databases: str) -> Iterator[Postgres]:
    """Start it with empty databases; ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="dconrec-postgres-"))
    user = _user()
    data, secret = folder / "data", folder / "password"
    secret.write_text(password)
    if user:
        for path in (folder, secret):
            shutil.chown(path, user)
    port = free_port(0)

    def call(*command: str) -> None:
        done = subprocess.run(
            command, user=user, cwd=folder, env=_environment(password), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    call(
        str(bin_ / "initdb"), "--pgdata", str(data), "--username", USER, "--pwfile", str(secret),
        "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
    )  # fmt: skip
    options = f"-c listen_addresses={HOST} -p {port} -k {folder} -c fsync=off -c shared_buffers=32MB"
    command = [str(bin_ / "pg_ctl"), "--pgdata", str(data)]
    call(*command, "--wait", "--log", str(data / "server.log"), "--options", options, "start")
    try:
        for database in databases:
            call(str(bin_ / "createdb"), "--host", HOST, "--port", str(port), "--username", USER, database)
        yield Postgres(port, password)
    finally:
        call(*command, "--wait", "--mode", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


def _environment(password: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PGPASSWORD": password, "LC_ALL": "C"}
