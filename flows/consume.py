"""``python -m flows.consume --out FOLDER``: the champion's bytes, checked; for whatever trains on the condensed set."""

import argparse
import os
import sys
from pathlib import Path

from flows.env import ROOT
from flows.failure import USER_ERRORS, one_line
from flows.params import read_params


def main(arguments: list[str]) -> int:
    """Download ``models:/NAME@ALIAS``; exit code 1 and nothing written where its SHA-256 is another."""
    parser = argparse.ArgumentParser(prog="python -m flows.consume", description=__doc__)
    parser.add_argument("--name", help="registered model; the one of params.yaml by default")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; a set that is there is replaced")
    asked = parser.parse_args(arguments)
    out = asked.out.resolve()
    os.chdir(ROOT)
    from tasks.model_registry import SHA256, registry_of  # MLflow comes with it

    try:
        registry = registry_of(read_params(Path()), asked.name)
        version = registry.fetch(out, asked.alias)
    except USER_ERRORS as error:
        print(one_line(error), file=sys.stderr)
        return 1
    print(f"{out}: version {version.version} of {registry.name}, SHA-256 {version.tags[SHA256]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
