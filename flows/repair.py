"""``python -m flows.repair``: put right what a kill cut off, before ``dvc repro`` reads it (``make repro`` does it)."""

import os
import sys
from pathlib import Path

from flows.alone import alone
from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from tasks.versioning_repair import repair


def main() -> int:
    """Exit code 0 when ``dvc repro`` can start."""
    os.chdir(ROOT)
    try:
        with alone():  # sweeps, too
            for repaired in repair(Path()):
                print(repaired, file=sys.stderr)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
