"""What a command does while Prefect's server starts."""

import threading

import pytest

from flows import command


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


def test_a_server_that_does_not_start_is_left_to_the_flow_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sync_client: bool) -> None:
        raise RuntimeError("no server")

    monkeypatch.setattr(command, "get_client", broken)
    with command.server_starting():
        pass


def test_the_block_keeps_its_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "get_client", lambda sync_client: None)
    with pytest.raises(ValueError, match="wrong name"), command.server_starting():
        raise ValueError("wrong name")
