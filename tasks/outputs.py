"""Reading what a stage wrote, for those behind it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dconrec_core.errors import DataError


def read_text(path: Path) -> str:
    """A text.

    Raises:
        DataError: There is none.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run the stage that writes it (dvc repro, or make demo)") from None


def read_json(path: Path, *, optional: bool = False) -> Any:
    """What a JSON file holds; with ``optional`` an empty mapping where there is none.

    Raises:
        DataError: There is none, or it is not JSON.
    """
    if optional and not path.is_file():
        return {}
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}; delete it and run the stage that writes it again") from None


def read_csv(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table; one of ``columns`` without rows where there is no file, or an empty one (as of EASE, without epochs)."""
    try:
        return pd.read_csv(path)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame(columns=list(columns))
