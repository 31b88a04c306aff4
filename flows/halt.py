"""``python -m flows.halt``: end what ``make serve`` or ``make ui`` started, also where that was killed itself."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flows.frame import parser_of, run
from flows.processes import carries, stop_marked, tell
from flows.served import forget_served, home, read_served

ORDERLY_SECONDS = 60
"""For ``make serve`` to end its processes itself, in their order."""


def halt(folder: Path) -> str:
    """End everything that carries the mark of the last ``make serve``; what happened, in words."""
    served = read_served(folder)
    if served is None:
        return "nothing is served here"
    tell([served.pid], served.mark, signal.SIGTERM)
    end = time.monotonic() + ORDERLY_SECONDS
    while carries(served.pid, served.mark) and time.monotonic() < end:
        time.sleep(0.1)
    count = stop_marked(served.mark)
    forget_served(folder)
    return f"stopped what a killed `make serve` had left (processes: {count})" if count else "stopped"


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when nothing runs any more."""
    return run(parser_of("flows.halt", __doc__), arguments, lambda asked: print(halt(home())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
