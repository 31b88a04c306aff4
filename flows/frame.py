"""The frame of every command: ``--help``, the project's folder, and one line for whatever is no bug."""

import os
import signal
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line, unreachable_prefect


def parser_of(name: str, doc: str | None, epilog: str | None = None) -> ArgumentParser:
    """Of ``python -m name``; ``--help`` shows the docstring of its module."""
    return ArgumentParser(f"python -m {name}", None, doc, epilog, formatter_class=RawDescriptionHelpFormatter)


def run(
    parser: ArgumentParser,
    arguments: Sequence[str],
    job: Callable[[Namespace], None],
    interrupted: str = "interrupted",
) -> int:
    """Do what a command is for; exit code 0 when it is done, 1 after one line that says why not, 130 after Ctrl-C.

    Args:
        parser: Of its arguments; paths among them are those of the folder in which the command was typed.
        arguments: What was typed.
        job: What to do, in the project's folder, so that messages name paths as the project does.
        interrupted: What is printed after Ctrl-C.
    """
    asked = parser.parse_args(arguments)
    os.chdir(ROOT)
    # As an exit does: otherwise Prefect's own server, which this process started, would stay.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        job(asked)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except Exception as error:
        if (line := unreachable_prefect(error)) is None:
            raise
        print(line, file=sys.stderr)
        return 1
    return 0
