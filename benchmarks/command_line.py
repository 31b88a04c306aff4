"""What the command lines of the benchmarks have in common: where the data are, and how a failure ends."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.processes import WorkerError
from dconrec_core.errors import DConRecError


def parser_of(name: str, about: str | None) -> ArgumentParser:
    """A parser for ``python -m benchmarks.NAME`` with ``--data``; ``about`` is the module's docstring."""
    parser = ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--data", type=Path, default=Path("data/input"), help="folder of the datasets' files")
    return parser


def one_core() -> None:
    """Let seconds be those of one core on either side; rows of several commands stand beside each other."""
    torch.set_num_threads(1)


def run_main(main: Callable[[], None]) -> None:
    """``main``; what it cannot do ends in one line and not in a traceback."""
    try:
        main()
    except (DConRecError, WorkerError, OSError) as error:
        sys.exit(f"error: {error}")
