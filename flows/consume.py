"""``python -m flows.consume --out FOLDER``: the champion's bytes, checked; for whatever trains on the condensed set."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from flows.frame import parser_of, run
from flows.params import read_params


def fetch(asked: Namespace) -> None:
    """Download ``models:/NAME@ALIAS``."""
    from tasks.model_registry import SHA256, registry_of  # MLflow comes with it

    registry = registry_of(read_params(Path()), asked.name)
    version = registry.fetch(asked.out, asked.alias)
    print(f"{asked.out}: version {version.version} of {registry.name}, SHA-256 {version.tags[SHA256]}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 and nothing written where the SHA-256 is another."""
    parser = parser_of("flows.consume", __doc__)
    parser.add_argument("--name", help="registered model; the one of params.yaml by default")
    parser.add_argument("--alias", default="champion")
    words = "folder to write; a set that is there is replaced"
    parser.add_argument("--out", type=lambda path: Path(path).resolve(), required=True, help=words)
    return run(parser, arguments, fetch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
