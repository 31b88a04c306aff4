"""``python -m flows.repair``: put right what a kill cut off, before ``dvc repro`` reads it (``make repro`` does it)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from flows.alone import alone
from flows.frame import parser_of, run
from tasks.versioning_repair import repair


def put_right(asked: Namespace) -> None:
    """Repair the folder, and say what was broken."""
    with alone():  # sweeps, too
        for repaired in repair(Path()):
            print(repaired, file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when ``dvc repro`` can start."""
    return run(parser_of("flows.repair", __doc__), arguments, put_right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
