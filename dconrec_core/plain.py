"""Settings and notes as people read them."""

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> str:
    """A JSON value as text for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(content)}" for key, content in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "–"
    return "yes" if value is True else "no" if value is False else str(value)
