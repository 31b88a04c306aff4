"""``python -m flows.rollback --reason TEXT``: the champion before the present one is champion again."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from flows.frame import parser_of, run
from flows.params import read_params


def go_back(asked: Namespace) -> None:
    """Move the alias and write the reason to both versions."""
    from tasks.model_registry import registry_of  # MLflow comes with it

    registry = registry_of(read_params(Path()), asked.name)
    was, now = registry.rollback(asked.reason, "a person")
    print(f"{registry.name}: version {now} is champion again, no longer version {was}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 where there is nothing to go back to."""
    parser = parser_of("flows.rollback", __doc__)
    parser.add_argument("--name", help="registered model; the one of params.yaml by default")
    parser.add_argument("--reason", default="rolled back by hand, no reason given")
    return run(parser, arguments, go_back)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
