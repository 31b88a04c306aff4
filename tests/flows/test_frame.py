"""What every command does with ``--help``, an error, Ctrl-C, SIGTERM and a Prefect server that is not there."""

import importlib
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from dconrec_core.errors import DataError
from flows.frame import parser_of, run
from tests.flows.project import ROOT, TINY, call, make_project

COMMANDS = [path.stem for path in (ROOT / "flows").glob("*.py") if '__name__ == "__main__"' in path.read_text()]


@pytest.fixture(autouse=True)
def _sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def framed(job: Callable[[Namespace], None]) -> int:
    return run(parser_of("flows.something", "What it does."), [], job)


def raising(error: BaseException, cause: BaseException | None = None) -> Callable[[Namespace], NoReturn]:
    def job(asked: Namespace) -> NoReturn:
        raise error from cause

    return job


def test_what_is_no_bug_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    refused = httpx.ConnectError("[Errno 111] Connection refused")
    assert framed(lambda asked: None) == 0
    assert framed(raising(DataError("no column\n'rating'"))) == 1
    assert framed(raising(RuntimeError("Failed to reach API"), refused)) == 1
    assert framed(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.splitlines() == [
        "no column 'rating'",
        "Prefect at http://127.0.0.1:9/api: [Errno 111] Connection refused; "
        "start it (make serve), or unset PREFECT_API_URL to do without",
        "interrupted",
    ]


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        framed(raising(ZeroDivisionError()))


def test_sigterm_is_an_exit_so_that_what_was_started_ends_too() -> None:
    with pytest.raises(SystemExit) as end:
        framed(lambda asked: os.kill(os.getpid(), signal.SIGTERM))
    assert end.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_modules_docstring_and_nothing_is_done(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"flows.{name}")
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m flows.{name} [-h]")
    assert module.__doc__.strip() in said


def test_compare_tells_its_keys_and_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    from flows import compare

    with pytest.raises(SystemExit):
        compare.main(["--help"])
    said = capsys.readouterr().out
    assert "\n  ratios=[0.05, 0.25]\n    Budgets, as shares of the training interactions.\n" in said
    assert "\n  trials=null\n" in said
    assert compare.main(["ratios"]) == 1
    assert "write KEY=VALUE, for instance ratios=[0.1]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["compare", "nightly"])
def test_flows_that_share_the_folder_start_their_server_in_turn_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"flows.{name}")

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "server_starting", interrupted)
    assert module.main([]) == 130


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_value_that_prefect_refuses_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from flows import compare

    assert compare.main(["ratios=[2]"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("ratios.0: Input should be less than or equal to 1\n")
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("frame") / "home", TINY)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare", "deploy"])
def test_an_exported_server_that_is_down_is_named_in_one_line(name: str, project: Path) -> None:
    settings = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = call(project, sys.executable, "-m", f"flows.{name}", check=False, settings=settings)
    assert done.returncode == 1
    assert done.stderr.startswith("Prefect at http://127.0.0.1:9/api: "), done.stderr
    assert done.stderr.count("\n") == 1
