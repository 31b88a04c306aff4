"""Progress for people: the stage, how fast it goes and how long it still takes, one line at a time."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Self, TextIO

from dconrec_core.options import EpochEvent

REWRITE_SECONDS = 0.1
"""Between two looks of a line that rewrites itself on a terminal."""
LINE_SECONDS = 10.0
"""Between two lines where there is no terminal, so that a log stays readable."""


class Console:
    """Writes one line a finished stage, and the current epoch of a running one.

    Args:
        total: Stages there are.
        stream: Where to write; standard error by default, so that standard output stays for results.
        clock: Seconds that only grow.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._stream, self._clock = total, stream or sys.stderr, clock
        self._rewrites = self._stream.isatty()
        self._stage, self._position = "", 0
        self._started = self._last_look = clock()
        self._label, self._label_started, self._first_epoch = "", clock(), 0
        self._open_line = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave no half line behind."""
        self._clear()

    def begin(self, stage: str, job: str) -> None:
        """A stage starts."""
        self._enter(stage)
        self._started = self._last_look = self._clock()
        self._label = ""
        if self._rewrites:
            self._look(job)
        elif self._total == 1:
            self._line(job)

    def end(self, how: str = "done") -> None:
        """The stage that began last is over."""
        self._line(f"{how:<34} {spell_seconds(self._clock() - self._started):>8}")

    def skip(self, stage: str, how: str) -> None:
        """A stage had nothing to do."""
        self._enter(stage)
        self._line(how)

    def epoch(self, event: EpochEvent, /) -> None:
        """An epoch is over; shown when the last one was long enough ago."""
        now = self._clock()
        if event.label != self._label or event.epoch <= self._first_epoch:
            self._label, self._label_started, self._first_epoch = event.label, now, event.epoch
        if now - self._last_look < (REWRITE_SECONDS if self._rewrites else LINE_SECONDS):
            return
        self._last_look = now
        text = describe(event, event.epoch - self._first_epoch, now - self._label_started)
        if self._rewrites:
            self._look(text)
        else:
            self._line(text)

    def _enter(self, stage: str) -> None:
        self._position += stage != self._stage  # another try of the same stage is no further one
        self._stage = stage

    def _prefix(self) -> str:
        place = f"[{self._position}/{self._total}] " if self._total > 1 else ""
        return f"{place}{self._stage:<9} "

    def _look(self, text: str) -> None:
        self._clear()
        self._stream.write(f"{self._prefix()}{text}"[:118])
        self._stream.flush()
        self._open_line = True

    def _line(self, text: str) -> None:
        self._clear()
        self._stream.write(f"{self._prefix()}{text}\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._open_line:
            self._stream.write("\r\033[K")
            self._stream.flush()
            self._open_line = False


def describe(event: EpochEvent, epochs: int, seconds: float) -> str:
    """One epoch in words.

    Args:
        event: The epoch.
        epochs: Epochs of the same training seen since the first one.
        seconds: Time they took.
    """
    parts = [f"{event.label} epoch {event.epoch}/{event.total}".strip()]
    if epochs > 0 and seconds > 0:
        rate = epochs / seconds
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
        parts.append(f"{spell_seconds((event.total - event.epoch) / rate)} left at most")
    parts += [f"{name} {value:.4g}" for name, value in event.metrics.items() if name != "epoch"]
    return " · ".join(parts)


def spell_seconds(seconds: float) -> str:
    """``0.4 s``, ``47 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def columns(rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> list[str]:
    """The lines of a table of text: words to the left, numbers, from that column on, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if numbers_from is None or n < numbers_from else str.rjust for n in range(len(widths))]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def hush() -> None:
    """Keep Prefect's log off the terminal, where ``Console`` tells the same; its UI still gets all of it."""
    for logger in (logging.getLogger("prefect"), logging.getLogger("prefect.extra"), logging.getLogger()):
        for handler in logger.handlers:
            if type(handler).__name__ == "PrefectConsoleHandler":
                handler.setLevel(logging.CRITICAL + 1)
