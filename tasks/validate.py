"""The validate stage, and the checks of the prepared and the condensed table: the only importer of Great Expectations.

Great Expectations says whether a rule holds, in its cheapest mode; which rows break it is asked of a vectorised mask,
and only of rules that failed, since its own list of rows costs 50 microseconds a row.
"""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dconrec_core.atomic import atomic_folder, write_json, write_text
from dconrec_core.data.io import read_table, write_table
from dconrec_core.data.raw import ITEM, TIMESTAMP, USER
from dconrec_core.errors import DataError
from tasks.checks import (
    Check,
    columns_suite,
    condensed_suite,
    enough_suite,
    pairs_suite,
    prepared_suite,
    rows_suite,
    share_suite,
)
from tasks.checks_page import checks_page
from tasks.outputs import read_json
from tasks.params import ChecksParams

N_EXAMPLES = 3
LONGEST_CELL = 100
"""Of an example, in characters: it must fit into one line."""
ONE_AT_A_TIME = threading.Lock()
"""Great Expectations has one context a process, and comparisons load their data in threads."""


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Args:
        check: Which.
        passed: Whether it holds.
        failing: Mask of the rows that break it, where it is about rows and does not hold.
        examples: Some of those rows, as JSON values.
        observed: What was found, where it is about the whole table.
    """

    check: Check
    passed: bool
    failing: pd.Series | None = None
    examples: tuple[dict[str, Any], ...] = ()
    observed: Any = None

    @property
    def n_failed(self) -> int:
        """Rows that break it; 0 for a check of the whole table."""
        return int(self.failing.sum()) if self.failing is not None else 0

    def entry(self) -> dict[str, Any]:
        """As the checks file has it."""
        return {
            "column": self.check.column,
            "rule": f"must {self.check.rule}",
            "severity": self.check.severity,
            "passed": self.passed,
            "n_failed": self.n_failed,
            "examples": list(self.examples),
        }


def validate(params: ChecksParams, raw: Path, out: Path) -> None:
    """Let pass the rows that may; set the others aside, with a reason each.

    Reads ``ratings.parquet``, ``source.json`` and perhaps ``items.parquet``; writes ``ratings.parquet`` (what may
    pass), ``quarantine.parquet`` (what may not, with ``row``, its place in the raw table, and ``reason``),
    ``checks.json``, ``checks.html`` and, where there are titles, ``items.parquet``.

    Raises:
        DataError: A critical rule does not hold, or more rows than ``max_quarantined`` had to be set aside.
    """
    ratings = read_table(raw / "ratings.parquet")
    source = read_json(raw / "source.json")
    table = f"{raw / 'ratings.parquet'} ({source['source']})"
    bounds = source["rating_range"]
    kept, reasons, outcomes = passing(params, table, ratings, tuple(bounds) if bounds else None)
    checks = _summary("ratings", len(ratings), outcomes, reasons.value_counts())
    with atomic_folder(out) as folder:
        write_table(folder / "ratings.parquet", kept)
        write_table(folder / "quarantine.parquet", _set_aside(ratings, reasons))
        if (raw / "items.parquet").is_file():
            write_table(folder / "items.parquet", read_table(raw / "items.parquet"))
        write_json(folder / "checks.json", checks)
        write_text(folder / "checks.html", checks_page(checks))


def passing(
    params: ChecksParams, table: str, ratings: pd.DataFrame, rating_range: tuple[float, float] | None
) -> tuple[pd.DataFrame, pd.Series, list[Outcome]]:
    """The rows that may pass, in plain types, and what ``sift`` says; arguments are its own.

    Raises:
        DataError: As ``sift``, or too few rows are left.
    """
    reasons, outcomes = sift(table, ratings, rating_range, params.max_quarantined)
    kept = ratings[reasons.isna()]
    return _plain(kept), reasons, outcomes + judge(table, kept, enough_suite(params.min_rows))


def sift(
    table: str, ratings: pd.DataFrame, rating_range: tuple[float, float] | None, max_quarantined: float
) -> tuple[pd.Series, list[Outcome]]:
    """Why each row has to be set aside, missing where it may pass, and what became of each check.

    Args:
        table: What ``ratings`` are, for the message.
        ratings: A raw table.
        rating_range: The smallest and the largest rating there can be, where that is known.
        max_quarantined: Largest share of rows that may be set aside.

    Raises:
        DataError: A critical rule does not hold, or more rows than that have to be set aside.
    """
    outcomes = judge(table, ratings, columns_suite(ratings))
    outcomes += judge(table, ratings, rows_suite(ratings, rating_range, now=int(time.time())))
    reasons = _first_reasons(ratings, outcomes)
    outcomes += judge(table, ratings[reasons.isna()], pairs_suite())
    reasons = reasons.fillna(_first_reasons(ratings, outcomes[-1:]))
    if len(ratings):
        worst = _told(max(outcomes, key=lambda outcome: outcome.n_failed), len(ratings))
        share = pd.DataFrame({"set aside": reasons.notna().astype("float64")})
        outcomes += judge(table, share, share_suite(max_quarantined, worst))
    return reasons, outcomes


def check_prepared(frame: pd.DataFrame, n_users: int, n_items: int) -> dict[str, Any]:
    """Check the parts of a split, stacked.

    Args:
        frame: ``user``, ``item`` and ``part`` (train, valid or test).
        n_users: Size of the catalogue.
        n_items: Size of the catalogue.

    Returns:
        What ``checks.json`` holds.

    Raises:
        DataError: A critical rule does not hold.
    """
    outcomes = judge("the prepared table", frame, prepared_suite(n_users, n_items))
    return _summary("prepared", len(frame), outcomes)


def check_condensed(
    frame: pd.DataFrame, budget: int, n_users: int, n_items: int, inductive: bool = False
) -> dict[str, Any]:
    """Check a condensed table.

    Args:
        frame: ``user``, ``item``, ``observed`` and ``keep_prob`` of each interaction.
        budget: The most rows it may have.
        n_users: Users that its ids speak of: the catalogue's, or its own.
        n_items: Size of the catalogue.
        inductive: Whether the users are its own.

    Returns:
        What ``condensed_checks.json`` holds.

    Raises:
        DataError: A critical rule does not hold.
    """
    outcomes = judge("the condensed table", frame, condensed_suite(budget, n_users, n_items, inductive))
    return _summary("condensed", len(frame), outcomes)


def judge(table: str, frame: pd.DataFrame, suite: Sequence[Check]) -> list[Outcome]:
    """Ask Great Expectations about every check of a suite.

    Args:
        table: What ``frame`` is, for the message.
        frame: The rows.
        suite: The checks.

    Raises:
        DataError: A critical one does not hold: column, rule, count and example rows in one line.
    """
    with ONE_AT_A_TIME:
        results = _ask(frame, suite)
    outcomes = [_outcome(frame, check, *result) for check, result in zip(suite, results, strict=True)]
    broken = [outcome for outcome in outcomes if not outcome.passed and outcome.check.severity == "critical"]
    if broken:
        more = f" (rules broken in all: {len(broken)})" if len(broken) > 1 else ""
        raise DataError(f"{table}: {_told(broken[0], len(frame))}{more}")
    return outcomes


def _ask(frame: pd.DataFrame, suite: Sequence[Check]) -> list[tuple[bool, Any]]:
    """Whether each check holds, and what Great Expectations observed."""
    import great_expectations as gx  # 6 seconds, and only here
    from great_expectations import expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("memory")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
        .get_batch(batch_parameters={"dataframe": frame})
    )
    # The place travels along, since answers come back grouped by column.
    asked = gx.ExpectationSuite("checks")
    for place, check in enumerate(suite):
        kind = getattr(expectations, check.expectation)
        asked.add_expectation(kind(**check.arguments, severity=check.severity, meta={"place": place}))
    answers = batch.validate(asked, result_format="SUMMARY").results
    for answer in answers:
        if "'raised_exception': True" in str(answer.exception_info):  # nested by metric, or not
            raise RuntimeError(f"{answer.expectation_config} could not be judged: {answer.exception_info}")
    answers.sort(key=lambda answer: answer.expectation_config.meta["place"])  # type: ignore[union-attr]
    return [(bool(answer.success), (answer.result or {}).get("observed_value")) for answer in answers]


def _outcome(frame: pd.DataFrame, check: Check, passed: bool, observed: Any) -> Outcome:
    if passed or check.rows is None:
        return Outcome(check, passed, observed=observed)
    failing = check.rows(frame)
    rows = frame[failing].head(N_EXAMPLES)
    examples = tuple(
        {"row": _json(place), **{str(name): _json(value) for name, value in row.items()}}
        for place, row in zip(rows.index, rows.to_dict("records"), strict=True)
    )
    return Outcome(check, passed, failing, examples, observed)


def _told(outcome: Outcome, n_rows: int) -> str:
    """One line: column, rule, count, example rows, way out."""
    check = outcome.check
    text = f"{check.column or 'it'} must {check.rule}"
    if outcome.failing is not None:
        rows = json.dumps(outcome.examples, ensure_ascii=False)[1:-1]
        text += f"; {outcome.n_failed} of {n_rows} rows do not, such as {rows}"
    elif outcome.observed is not None:
        text += f", found {_short(outcome.observed)}"
    return f"{text}; {check.way_out}" if check.way_out else text


def _short(observed: Any) -> str:
    return f"{observed:.4g}" if isinstance(observed, float) else str(observed)


def _first_reasons(frame: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.Series:
    """Why each row has to be set aside, by the first rule it breaks; missing where it may pass."""
    reasons = pd.Series(pd.NA, index=frame.index, dtype="str")
    for outcome in outcomes:
        if outcome.failing is not None:
            rows = outcome.failing.index[outcome.failing]
            first = rows[reasons.loc[rows].isna()]
            reasons.loc[first] = f"{outcome.check.column or 'row'} must {outcome.check.rule}"
    return reasons


def _set_aside(ratings: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    bad = ratings[reasons.notna()]
    return bad.assign(row=bad.index.to_numpy(), reason=reasons[reasons.notna()].astype("str"))


def _plain(kept: pd.DataFrame) -> pd.DataFrame:
    """Types without room for missing values: none is left."""
    whole = [name for name in (USER, ITEM, TIMESTAMP) if name in kept and str(kept[name].dtype) != "str"]
    return kept.astype(dict.fromkeys(whole, "int64")).reset_index(drop=True)


def _summary(
    table: str, n_rows: int, outcomes: Sequence[Outcome], quarantined: pd.Series | None = None
) -> dict[str, Any]:
    counts = {} if quarantined is None else {str(reason): int(count) for reason, count in quarantined.items()}
    return {
        "table": table,
        "n_rows": n_rows,
        "passed": True,  # where a critical rule fails, nothing is written
        "expectations": [outcome.entry() for outcome in outcomes],
        "n_quarantined": sum(counts.values()),
        "quarantined": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    }


def _json(value: Any) -> Any:
    """A cell as a JSON value: None where it is missing, text where JSON has no such number."""
    if pd.isna(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str) and len(plain) > LONGEST_CELL:
        return f"{plain[:LONGEST_CELL]}…"
    return plain if isinstance(plain, int | str) or (isinstance(plain, float) and np.isfinite(plain)) else str(plain)
