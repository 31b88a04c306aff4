"""``python -m flows.rollback --reason TEXT``: the champion before the present one is champion again."""

import argparse
import os
import sys
from pathlib import Path

from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from flows.params import read_params


def main(arguments: list[str]) -> int:
    """Move the alias and write the reason to both versions; exit code 1 where there is nothing to go back to."""
    parser = argparse.ArgumentParser(prog="python -m flows.rollback", description=__doc__)
    parser.add_argument("--name", help="registered model; the one of params.yaml by default")
    parser.add_argument("--reason", default="rolled back by hand, no reason given")
    asked = parser.parse_args(arguments)
    os.chdir(ROOT)
    from tasks.model_registry import registry_of  # MLflow comes with it

    try:
        registry = registry_of(read_params(Path()), asked.name)
        was, now = registry.rollback(asked.reason, "a person")
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    print(f"{registry.name}: version {now} is champion again, no longer version {was}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
