"""Which of the project's source files a module runs: its imports, theirs, and so on, inside functions too."""

import ast
from pathlib import Path

PACKAGES = ("tasks", "dconrec_core")


def code_closure(root: Path, start: str) -> set[str]:
    """Files that ``start`` and what it imports are made of, relative to ``root``.

    An import of a package runs its ``__init__`` and, through it, what that imports.
    """
    found: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        for name in _imported(tree):
            waiting += _files(root, name)
    return found


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}


def _files(root: Path, module: str) -> list[str]:
    parts = module.split(".")
    candidates = [root.joinpath(*parts[: depth + 1], "__init__.py") for depth in range(len(parts))]
    candidates.append(root.joinpath(*parts).with_suffix(".py"))
    return [path.relative_to(root).as_posix() for path in candidates if path.is_file()]
