"""A PostgreSQL of its own for the tests, in a temporary folder, on loopback, with a password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="dconrec-postgres-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        user = _user()
        data, secret = folder / "data", folder / "password"
        secret.write_text(password)
        if user:
            for path in (folder, secret):
                shutil.chown(path, user)
        port = free_port(0)

        def call(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(bin_ / program), *arguments],
                user=user, cwd=folder, env=_environment(password), capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

        call(
            "initdb", "--pgdata", str(data), "--username", USER, "--pwfile", str(secret),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        options = f"-c listen_addresses={HOST} -p {port} -k {folder} -c fsync=off -c shared_buffers=32MB"
        log = str(data / "server.log")
        call("pg_ctl", "--pgdata", str(data), "--wait", "--log", log, "--options", options, "start")
        stack.callback(call, "pg_ctl", "--pgdata", str(data), "--wait", "--mode", "immediate", "stop")
        for database in databases:
            call("createdb", "--host", HOST, "--port", str(port), "--username", USER, database)
        yield Postgres(port, password)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


def _environment(password: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PGPASSWORD": password, "LC_ALL": "C"}
