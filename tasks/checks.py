"""What data must satisfy: the suites, as plain values. ``tasks.validate`` has Great Expectations judge them.

A critical rule that fails stops the pipeline. A warning about rows sets the failing rows aside; one about the whole
table is remembered in the checks file and shown in the report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd

from dconrec_core.data.prepare import repeated_pairs
from dconrec_core.data.raw import ITEM, NUMBERS, PART, RATING, TIMESTAMP, USER
from dconrec_core.types import PARTS

Severity = Literal["critical", "warning"]
FailingRows = Callable[[pd.DataFrame], pd.Series]

IDS = (USER, ITEM)
INTEGERS = ["int64", "Int64"]
LARGEST = 1.7e308
MOST_DENSE = 0.5
"""Share of all pairs above which ranking the rest of the catalogue says little."""


@dataclass(frozen=True)
class Check:
    """One expectation in words, as Great Expectations has it, and as a mask.

    Args:
        column: What it is about; None for the whole table.
        rule: In words, as the end of "it must …".
        severity: What follows when it fails.
        expectation: Name of the class in ``great_expectations.expectations``.
        arguments: Of that class.
        rows: The rows that fail it, as a bool mask; None where the table fails as a whole. It is asked only when the
            expectation failed, and must then agree with it.
        way_out: What a person can do.
    """

    column: str | None
    rule: str
    severity: Severity
    expectation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rows: FailingRows | None = None
    way_out: str = ""


def columns_suite(frame: pd.DataFrame) -> list[Check]:
    """The raw table's columns and their types. All critical: without them no row can be judged."""
    checks = [_exists(column) for column in IDS]
    checks += [_identity(column, frame[column]) for column in IDS if column in frame]
    return checks + [_numeric(column, frame[column]) for column in NUMBERS if column in frame]


def rows_suite(frame: pd.DataFrame, rating_range: tuple[float, float] | None, now: int) -> list[Check]:
    """The raw table, row by row."""
    checks = [_present(column, "warning") for column in frame if column in (*IDS, *NUMBERS, PART)]
    checks += [
        between(column, 0, None, "warning", "not be negative", "keep them as text where they are meant (text_ids)")
        for column in IDS
        if str(frame[column].dtype) in INTEGERS
    ]
    if RATING in frame:
        low, high = rating_range or (-LARGEST, LARGEST)
        rule = f"be from {low:g} to {high:g}" if rating_range else "be finite"
        checks.append(between(RATING, low, high, "warning", rule, "see dataset.config.rating_range"))
    if TIMESTAMP in frame:
        today = datetime.fromtimestamp(now, UTC).date()
        hint = f"see dataset.config.timestamp_unit: are they milliseconds? or is the clock here wrong ({today})?"
        checks.append(between(TIMESTAMP, 0, now, "warning", "be from 1970 to now, not in the future", hint))
    if PART in frame:
        checks.append(_one_of(PART, PARTS, "warning", "be train, valid or test", "see dataset.config.part"))
    return checks


def pairs_suite() -> list[Check]:
    """Rows that are well by themselves, against each other."""
    return [
        Check(
            None,
            "hold each user and item once; the latest row stays, without times the first",
            "warning",
            "ExpectCompoundColumnsToBeUnique",
            {"column_list": list(IDS)},
            repeated_pairs,
            "join repeated rows, or raise checks.max_quarantined where repetition is normal",
        )
    ]


def enough_suite(min_rows: int) -> list[Check]:
    """What is left must be worth a pipeline."""
    return [
        Check(
            None,
            f"have at least {min_rows} rows that may pass",
            "critical",
            "ExpectTableRowCountToBeBetween",
            {"min_value": min_rows},
            way_out="bring more data, or lower checks.min_rows",
        ),
        *(_several(column, 2) for column in IDS),
    ]


def share_suite(most: float, worst: str) -> list[Check]:
    """Where much is wrong, the data or its description must be. For a table with one column, 1 for a row set aside."""
    return [
        Check(
            "set aside",
            f"be at most {most:.4g} of all rows (checks.max_quarantined)",
            "critical",
            "ExpectColumnMeanToBeBetween",
            {"column": "set aside", "max_value": most},
            way_out=f"most often: {worst}",
        )
    ]


def prepared_suite(n_users: int, n_items: int) -> list[Check]:
    """The prepared table: all parts of the split on top of each other, with a column ``part``."""
    return [
        *(check for column, size in (("user", n_users), ("item", n_items)) for check in _dense(column, size)),
        *(_several(column, 2) for column in ("user", "item")),
        _distinct("hold each user and item once, in one part of the split"),
        Check(
            "part",
            "have train, valid and test rows",
            "critical",
            "ExpectColumnDistinctValuesToContainSet",
            {"column": "part", "value_set": ["train", "valid", "test"]},
            way_out="users with one or two interactions fill train first; bring more data a user",
        ),
        Check(
            None,
            f"hold at most {MOST_DENSE:.0%} of all pairs of its users and items",
            "warning",
            "ExpectTableRowCountToBeBetween",
            {"max_value": int(MOST_DENSE * n_users * n_items)},
            way_out="raise prepare.threshold",
        ),
    ]


def condensed_suite(budget: int, n_users: int, n_items: int, inductive: bool = False) -> list[Check]:
    """A condensed table. All critical: nothing in it may be set aside.

    The users of an inductive one are numbered for it alone, so each of them must be there.
    """
    users = _dense("user", n_users, "the set") if inductive else [_of_catalogue("user", n_users)]
    return [
        Check(
            None,
            f"have from 1 to {budget} rows, the budget",
            "critical",
            "ExpectTableRowCountToBeBetween",
            {"min_value": 1, "max_value": budget},
        ),
        *(_present(column, "critical") for column in ("user", "item", "observed", "keep_prob")),
        *users,
        _of_catalogue("item", n_items),
        _distinct("hold each user and item once"),
        _one_of("observed", (True, False), "critical", "say true (observed) or false (pseudo)"),
        between("keep_prob", 0, 1, "critical", "be a probability, 0 to 1"),
    ]


def not_numbers(values: pd.Series) -> pd.Series:
    """Values that are there and are no numbers."""
    return pd.to_numeric(values, errors="coerce").isna() & values.notna()


def _exists(column: str) -> Check:
    return Check(column, "exist", "critical", "ExpectColumnToExist", {"column": column}, way_out="see docs/data.md")


def _identity(column: str, values: pd.Series) -> Check:
    return Check(
        column,
        "hold whole numbers or text",
        "critical",
        "ExpectColumnValuesToBeOfType",
        {"column": column, "type_": "str" if str(values.dtype) == "str" else "int64"},
        way_out="see docs/data.md",
    )


def _numeric(column: str, values: pd.Series) -> Check:
    return Check(
        column,
        "hold numbers",
        "critical",
        "ExpectColumnValuesToBeOfType",
        {"column": column, "type_": "int64" if str(values.dtype) in INTEGERS else "float64"},
        lambda frame: not_numbers(frame[column]),
        f"correct those rows, or see dataset.config.{column}",
    )


def _present(column: str, severity: Severity) -> Check:
    return Check(
        column,
        "not be missing",
        severity,
        "ExpectColumnValuesToNotBeNull",
        {"column": column},
        lambda frame: frame[column].isna(),
    )


def between(column: str, low: float, high: float | None, severity: Severity, rule: str, way_out: str = "") -> Check:
    """Numbers that must not be below ``low`` or above ``high``; missing ones are not judged."""

    def outside(frame: pd.DataFrame) -> pd.Series:
        values = frame[column]
        inside = values.between(low, float("inf") if high is None else high)
        return values.notna() & ~inside.fillna(True)

    bounds = {"min_value": low, "max_value": high}
    return Check(
        column, rule, severity, "ExpectColumnValuesToBeBetween", {"column": column, **bounds}, outside, way_out
    )


def _one_of(column: str, values: Sequence[object], severity: Severity, rule: str, way_out: str = "") -> Check:
    return Check(
        column,
        rule,
        severity,
        "ExpectColumnValuesToBeInSet",
        {"column": column, "value_set": list(values)},
        lambda frame: ~frame[column].isin(list(values)) & frame[column].notna(),
        way_out,
    )


def _several(column: str, least: int) -> Check:
    return Check(
        column,
        f"have at least {least} different values",
        "critical",
        "ExpectColumnUniqueValueCountToBeBetween",
        {"column": column, "min_value": least},
        way_out="a recommender needs several users and several items",
    )


def _of_catalogue(column: str, size: int, whole: str = "the catalogue") -> Check:
    return between(column, 0, size - 1, "critical", f"be of {whole}, 0 to {size - 1}")


def _dense(column: str, size: int, whole: str = "the catalogue") -> list[Check]:
    every = Check(
        column,
        f"use every id of {whole}",
        "critical",
        "ExpectColumnUniqueValueCountToBeBetween",
        {"column": column, "min_value": size, "max_value": size},
    )
    return [_of_catalogue(column, size, whole), every]


def _distinct(rule: str) -> Check:
    return Check(
        None,
        rule,
        "critical",
        "ExpectCompoundColumnsToBeUnique",
        {"column_list": ["user", "item"]},
        lambda frame: frame.duplicated(["user", "item"], keep=False),
    )
