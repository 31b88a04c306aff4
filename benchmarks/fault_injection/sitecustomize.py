"""On ``PYTHONPATH`` of the processes that ``benchmarks.faults`` breaks: kills them, or shifts their clock, as told.

Python imports it before anything else. It says and does nothing unless one of these variables is set:

``FAULT_KILL``   JSON: once an event matches ``arm``, the ``nth`` event that matches ``at`` ends the whole process group
                 with SIGKILL, before it takes place, or ``delay`` seconds later, but before an event that matches
                 ``latest``. ``torn`` first empties the file that the event opens for writing, as a kill right after
                 that would leave it.
``FAULT_CLOCK``  Seconds that ``time.time`` is off.
"""

import json
import os
import re
import signal
import sys
import threading
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "import", "subprocess.Popen", "sqlite3.connect"}
WRITES = os.O_WRONLY | os.O_RDWR


def _text(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The event as one line; None where it changes nothing."""
    if event not in EVENTS:
        return None
    if event == "open":
        path, _, flags = arguments
        return f"write {path}" if isinstance(flags, int) and flags & WRITES else None
    if event == "subprocess.Popen":
        return f"run {arguments[1]}"
    if event == "import":
        return f"import {arguments[0]}"
    return f"{event} {' '.join(str(argument) for argument in arguments[:2])}"


class _Kill:
    def __init__(
        self, arm: str, at: str, nth: int = 1, delay: float = 0.0, latest: str = "", torn: bool = False
    ) -> None:
        self.arm, self.at = re.compile(arm), re.compile(at)
        self.latest = re.compile(latest) if latest else None
        self.left, self.delay, self.torn = nth, delay, torn
        self.armed = not arm

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if (self.left <= 0 and not self.latest) or (text := _text(event, arguments)) is None:
            return
        if self.left <= 0 and self.latest and self.latest.search(text):
            _end()
        if not self.armed:
            self.armed = bool(self.arm.search(text))
        if self.armed and self.at.search(text):
            self.left -= 1
            if self.left == 0:
                self._strike(text)

    def _strike(self, text: str) -> None:
        if self.torn and text.startswith("write ") and os.path.exists(text[6:]):  # noqa: PTH110 (nothing else imported)
            os.truncate(text[6:], 0)
        if self.delay:
            timer = threading.Timer(self.delay, _end)
            timer.daemon = True
            timer.start()
        else:
            _end()


def _end() -> None:
    os.killpg(0, signal.SIGKILL)


if told := os.environ.get("FAULT_KILL"):
    sys.addaudithook(_Kill(**json.loads(told)))

if shift := os.environ.get("FAULT_CLOCK"):
    import time

    _time = time.time
    time.time = lambda: _time() + float(shift)
