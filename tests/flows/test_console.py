import io

import pytest

from dconrec_core.options import EpochEvent
from flows.console import Console, columns, describe, spell_seconds


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_a_stage_and_one_now_and_then_in_between():
    clock, stream = Clock(), io.StringIO()
    console = Console(total=2, stream=stream, clock=clock)
    console.skip("ingest", "up to date")
    console.begin("condense", "search")
    for epoch in range(1, 101):
        clock.now += 0.25
        console.epoch(EpochEvent("dconrec", epoch, 100, {"valid_loss": 0.5}))
    console.end()
    assert stream.getvalue().splitlines() == [
        "[1/2] ingest    up to date",
        "[2/2] condense  dconrec epoch 40/100 · 4.0/s · 15 s left at most · valid_loss 0.5",
        "[2/2] condense  dconrec epoch 80/100 · 4.0/s · 5.0 s left at most · valid_loss 0.5",
        "[2/2] condense  done                                   25 s",
    ]


def test_a_terminal_gets_one_line_that_rewrites_itself():
    clock, stream = Clock(), Terminal()
    with Console(total=1, stream=stream, clock=clock) as console:
        console.begin("split", "cut")
        clock.now += 1
        console.epoch(EpochEvent("cut", 1, 2))
    assert stream.getvalue() == "split     cut\r\033[Ksplit     cut epoch 1/2\r\033[K"


def test_another_try_of_a_stage_counts_as_the_same():
    stream = io.StringIO()
    console = Console(total=2, stream=stream, clock=Clock())
    for stage in ("ingest", "ingest", "validate"):
        console.begin(stage, "")
        console.end(f"over: {stage}")
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["[1/2]", "[1/2]", "[2/2]"]


def test_rate_starts_anew_with_each_training():
    clock, stream = Clock(), io.StringIO()
    console = Console(total=1, stream=stream, clock=clock)
    console.begin("evaluate", "")
    for label in ("a", "b"):
        for epoch in (1, 2):
            clock.now += 20
            console.epoch(EpochEvent(label, epoch, 10))
    assert stream.getvalue().splitlines()[-2:] == [
        "evaluate  b epoch 1/10",
        "evaluate  b epoch 2/10 · 20.0 s each · 2 min 40 s left at most",
    ]


def test_describe_leaves_out_what_is_not_known_yet():
    assert describe(EpochEvent("", 1, 5, {"epoch": 1, "loss": 0.123456}), 0, 0.0) == "epoch 1/5 · loss 0.1235"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.96, "10 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_spell_seconds(seconds, words):
    assert spell_seconds(seconds) == words


def test_a_table_has_words_to_the_left_and_numbers_to_the_right():
    rows = [("name", "rows", "share"), ("a longer one", "5", ""), ("b", "1,200", "9 %")]
    assert columns(rows, 1) == ["name           rows  share", "a longer one      5", "b             1,200    9 %"]
    assert columns(rows) == ["name          rows   share", "a longer one  5", "b             1,200  9 %"]
