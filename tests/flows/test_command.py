"""What a command does while Prefect's server starts."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows import command
from flows.alone import starting_prefect
from flows.env import ROOT
from flows.params import read_params


def test_the_block_is_done_while_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    started, released = threading.Event(), threading.Event()

    def slow_server(sync_client: bool) -> None:
        started.set()
        assert released.wait(10)

    monkeypatch.setattr(command, "get_client", slow_server)
    with command.server_starting():
        assert started.wait(10)
        released.set()  # which the server waits for: the two overlap


def test_nothing_goes_on_before_the_server_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[bool] = []
    monkeypatch.setattr(command, "get_client", lambda sync_client: answered.append(sync_client))
    with command.server_starting():
        pass
    assert answered == [True]


def test_a_server_that_does_not_start_is_told_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sync_client: bool) -> None:
        raise RuntimeError("no server")

    monkeypatch.setattr(command, "get_client", broken)
    done = []
    with pytest.raises(RuntimeError, match="no server"), command.server_starting():
        done.append(True)
    assert done


def test_ctrl_c_does_not_wait_for_a_server_that_will_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(command, "get_client", lambda sync_client: never.wait(60))
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt), command.server_starting():
        raise KeyboardInterrupt
    assert time.monotonic() - before < 10
    never.set()


def test_the_block_keeps_its_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "get_client", lambda sync_client: None)
    with pytest.raises(ValueError, match="wrong name"), command.server_starting():
        raise ValueError("wrong name")


def test_a_second_first_run_waits_with_its_server_until_that_of_the_first_is_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "new"))
    started = threading.Event()
    monkeypatch.setattr(command, "get_client", lambda sync_client: started.set())
    with ExitStack() as first:
        first.enter_context(starting_prefect())
        with command.server_starting():
            assert not started.wait(0.5)
            first.close()
    assert started.is_set()


@pytest.mark.parametrize(("stale", "changed", "checked"), [(True, False, 1), (False, False, 0), (False, True, 1)])
def test_names_are_checked_meanwhile_if_a_stage_may_run(
    stale: bool, changed: bool, checked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import pipeline

    class Known:
        def __init__(self, root: Path) -> None:
            pass

        def __enter__(self) -> "Known":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def reasons(self, stage: str) -> list[str]:
            return ["seed modified"] if stale and stage == "split" else []

    asked: list[object] = []
    monkeypatch.setattr(pipeline, "Versions", Known)
    monkeypatch.setattr(pipeline, "check_names", asked.append)
    pipeline.get_ready(read_params(ROOT), changed)
    assert len(asked) == checked
