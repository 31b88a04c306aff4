"""Changes of ``params.yaml`` in DVC's own words (``dvc exp run --set-param``): what it then reads is what was checked.

DVC takes the grammar of Hydra, merges a mapping into the one that is there, and refuses a key that the file lacks. So
the file and the file with the changes are compared, and DVC is told leaf by leaf.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dconrec_core.errors import ConfigError

KEY = re.compile(r"(?!(true|false|null|inf|nan)$)[a-z_][a-z0-9_-]*", re.IGNORECASE | re.ASCII)
"""What Hydra reads as a key and as nothing else."""


def overrides(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Arguments of ``--set-param``, in order, that make ``before`` to ``after``.

    Raises:
        ConfigError: A key or a value has no spelling in that grammar.
    """
    for key in before:
        if key not in after:
            path = _path(where, key)
            yield from (f"++{path}=0", f"~{path}")  # a key whose value is null it does not find
    for key, value in after.items():
        path, old = f"{where}{key}", before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            yield from overrides(old, value, f"{path}.")
        elif key not in before or not _same(old, value):
            path = _path(where, key)
            if isinstance(old, (Mapping, list)):
                yield f"++{path}=0"  # or it would merge the two
            yield f"++{path}={_written(path, value)}"


def _same(one: Any, other: Any) -> bool:
    """Whether they are equal and of one kind: 1 is neither ``true`` nor 1.0."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _written(path: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(path, key)}: {_written(path, item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_written(path, item) for item in value)}]"
    if isinstance(value, str):
        return _quoted(path, value)
    return "null" if value is None else str(value).lower()


def _quoted(path: str, text: str) -> str:
    """In quotes, before which every backslash counts; elsewhere it is a letter like any other."""
    if "${" in text or text == "???":
        raise ConfigError(f"{path} is {text!r}, which DVC cannot be told: it takes ${{…}} and ??? for more than text")
    return re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text).join("''")


def _path(where: str, key: str) -> str:
    return where + _key(where.removesuffix("."), key)


def _key(path: str, key: str) -> str:
    if not KEY.fullmatch(key):
        raise ConfigError(
            f"{path or 'params.yaml'} has the key {key!r}, which DVC cannot be told: it takes letters, digits, _, -; "
            "set it in params.yaml itself"
        )
    return key
