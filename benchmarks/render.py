"""``make docs``: write the tables between ``<!-- table:NAME -->`` and ``<!-- /table:NAME -->`` from the results files.

With ``--check`` nothing is written, and documents that disagree with the results files are named.
"""

import re
import sys
from collections.abc import Callable, Mapping

from benchmarks import paper_page, tables
from benchmarks.results import ROOT
from benchmarks.tables import documents
from dconrec_core.atomic import atomic_file
from dconrec_core.errors import ConfigError, DConRecError
from dconrec_core.registry import suggest

TABLES: dict[str, Callable[[], str]] = {**tables.TABLES, **paper_page.TABLES}
BLOCK = re.compile(r"(?P<open><!-- table:(?P<name>[\w-]+) -->\n).*?(?P<close><!-- /table:(?P=name) -->)", re.DOTALL)


def render(text: str, known: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """``text`` with every table made anew.

    Raises:
        ConfigError: A marker names no table, or is not closed.
    """

    def block(found: re.Match[str]) -> str:
        if found["name"] not in known:
            raise ConfigError(f"table:{found['name']} is not a table; {suggest(found['name'], list(known))}")
        return f"{found['open']}{known[found['name']]()}\n{found['close']}"

    n_opened, n_blocks = text.count("<!-- table:"), len(BLOCK.findall(text))
    if n_opened != n_blocks:
        raise ConfigError(f"{n_opened} tables are opened and {n_blocks} closed; end each with <!-- /table:NAME -->")
    return BLOCK.sub(block, text)


def main(arguments: list[str]) -> int:
    """Write or check all documents."""
    stale = []
    for path in documents():
        text = path.read_text()
        try:
            fresh = render(text)
        except DConRecError as error:
            print(f"{path.relative_to(ROOT)}: {error}", file=sys.stderr)
            return 1
        if fresh == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if "--check" not in arguments:
            with atomic_file(path) as temporary:
                temporary.write_text(fresh)
    if "--check" not in arguments:
        print("\n".join(f"wrote {name}" for name in stale) or "every table is up to date")
        return 0
    if stale:
        print(f"tables differ from the results files in {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
