"""What may pass, what is set aside and why, and what stops the pipeline; every rule broken once."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dconrec_core.data.io import write_table
from dconrec_core.errors import DataError
from tasks.checks import pairs_suite, rows_suite
from tasks.checks_page import checks_page
from tasks.params import ChecksParams
from tasks.validate import check_condensed, check_prepared, judge, validate

NOW = 1_700_000_000


def clean(n_rows: int = 200) -> pd.DataFrame:
    """Twenty users, ten items each, nothing wrong."""
    place = np.arange(n_rows)
    return pd.DataFrame(
        {
            "user_id": place // 10,
            "item_id": place % 10 + place // 10,
            "rating": 1.0 + place % 5,
            "timestamp": 1_000_000 + place,
        }
    )


def broken(column: str, *values: Any, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """A clean table whose first rows have ``values`` in ``column``."""
    frame = clean() if frame is None else frame
    cells = frame[column].astype("object").tolist()
    cells[: len(values)] = values
    dtype = "Int64" if column != "rating" else "float64"
    return frame.assign(**{column: pd.Series(cells, dtype=dtype)})


def run(folder: Path, frame: pd.DataFrame, rating_range: list[float] | None = None, **params: Any) -> dict[str, Any]:
    raw = folder / "raw"
    write_table(raw / "ratings.parquet", frame)
    facts = {"source": "somewhere", "rating_range": rating_range}
    (raw / "source.json").write_text(json.dumps(facts))
    validate(ChecksParams(**params), raw, folder / "out")
    return json.loads((folder / "out/checks.json").read_text())


def test_clean_data_passes_whole(tmp_path: Path):
    checks = run(tmp_path, clean(), [1, 5])
    assert checks["table"] == "ratings"
    assert checks["n_rows"] == 200
    assert checks["passed"] is True
    assert checks["n_quarantined"] == 0
    assert checks["quarantined"] == {}
    assert all(one["passed"] and one["n_failed"] == 0 for one in checks["expectations"])
    assert {one["severity"] for one in checks["expectations"]} == {"critical", "warning"}
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/ratings.parquet"), clean())
    assert pd.read_parquet(tmp_path / "out/quarantine.parquet").columns[-1] == "reason"


FUTURE = int(time.time()) + 10**6


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (broken("user_id", None, None), "user_id must not be missing"),
        (broken("item_id", None, None), "item_id must not be missing"),
        (broken("rating", None, None), "rating must not be missing"),
        (broken("timestamp", None, None), "timestamp must not be missing"),
        (broken("user_id", -1, -2), "user_id must not be negative"),
        (broken("item_id", -1, -2), "item_id must not be negative"),
        (broken("rating", 0.5, 9), "rating must be from 1 to 5"),
        (broken("rating", float("inf"), 9), "rating must be from 1 to 5"),
        (broken("timestamp", -5, FUTURE), "timestamp must be from 1970 to now, not in the future"),
    ],
)
def test_bad_rows_are_set_aside_with_their_reason(tmp_path: Path, frame: pd.DataFrame, reason: str):
    checks = run(tmp_path, frame, [1, 5])
    assert checks["quarantined"] == {reason: 2}
    failed = [one for one in checks["expectations"] if not one["passed"]]
    assert [(f"{one['column']} {one['rule']}", one["n_failed"], one["severity"]) for one in failed] == [
        (reason, 2, "warning")
    ]
    assert [row["row"] for row in failed[0]["examples"]] == [0, 1]
    aside = pd.read_parquet(tmp_path / "out/quarantine.parquet")
    assert aside["row"].tolist() == [0, 1]
    assert aside["reason"].tolist() == [reason, reason]
    kept = pd.read_parquet(tmp_path / "out/ratings.parquet")
    pd.testing.assert_frame_equal(kept, clean().iloc[2:].reset_index(drop=True))  # plain types again


def test_a_row_of_no_part_of_the_split_is_set_aside(tmp_path: Path):
    frame = clean().assign(part="train")
    frame.loc[0, "part"], frame.loc[1, "part"] = None, "dev"
    checks = run(tmp_path, frame)
    assert checks["quarantined"] == {"part must be train, valid or test": 1, "part must not be missing": 1}


def test_a_pair_in_two_parts_stays_in_the_first(tmp_path: Path):
    frame = clean().drop(columns="timestamp").assign(part="train")
    again = frame[:1].assign(part="test")
    run(tmp_path, pd.concat([frame, again], ignore_index=True))
    assert set(pd.read_parquet(tmp_path / "out/ratings.parquet")["part"]) == {"train"}


def test_of_repeated_pairs_the_latest_stays_and_a_bad_row_does_not_push_a_good_one_out(tmp_path: Path):
    frame = clean()
    again = pd.DataFrame(
        {
            "user_id": [0, 0, 1],
            "item_id": [0, 1, 1],  # rows 0, 1 and 10 again
            "rating": [2.0, 2.0, 99.0],
            "timestamp": [2_000_000, 5, 3_000_000],
        }
    )
    checks = run(tmp_path, pd.concat([frame, again], ignore_index=True), [1, 5])
    aside = pd.read_parquet(tmp_path / "out/quarantine.parquet")
    assert aside["row"].tolist() == [0, 201, 202]
    repeated = "row must hold each user and item once; the latest row stays, without times the first"
    assert aside["reason"].tolist() == [repeated, repeated, "rating must be from 1 to 5"]
    assert checks["n_quarantined"] == 3
    assert checks["quarantined"] == {repeated: 2, "rating must be from 1 to 5": 1}


def test_without_a_range_ratings_must_be_finite(tmp_path: Path):
    assert run(tmp_path, broken("rating", float("inf"), -999.0))["quarantined"] == {"rating must be finite": 1}


def test_text_ids_without_ratings_or_times(tmp_path: Path):
    frame = clean()[["user_id", "item_id"]].astype("str")
    assert run(tmp_path, frame)["n_quarantined"] == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/ratings.parquet"), frame)


def test_titles_travel_along(tmp_path: Path):
    titles = pd.DataFrame({"item_id": [1], "title": ["One"]})
    write_table(tmp_path / "raw/items.parquet", titles)
    run(tmp_path, clean())
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/items.parquet"), titles)


WORDS = clean().assign(rating=["five", "four", "three", "two"] + ["1"] * 196)
DATES = clean().assign(timestamp=["yesterday"] + ["1"] * 199)
LOST = clean().rename(columns={"item_id": "movie"})
ONE_USER = clean().assign(user_id=1, item_id=range(200))
ONE_ITEM = clean().assign(item_id=1, user_id=range(200))
MILLISECONDS = clean().assign(timestamp=NOW * 1_000)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            WORDS,
            r"raw/ratings\.parquet \(somewhere\): rating must hold numbers; 4 of 200 rows do not, such as "
            r'\{"row": 0, "user_id": 0, "item_id": 0, "rating": "five", "timestamp": 1000000\}, \{"row": 1.*\}, '
            r'\{"row": 2.*\}; correct those rows, or see dataset\.config\.rating$',
        ),
        (DATES, "timestamp must hold numbers; 1 of 200 rows do not, such as .*yesterday"),
        (LOST, "item_id must exist; see docs/data.md"),
        (clean(0), "it must have at least 100 rows that may pass, found 0; bring more data, or lower checks.min_rows"),
        (clean(99), "it must have at least 100 rows that may pass, found 99"),
        (ONE_USER, "user_id must have at least 2 different values, found 1"),
        (ONE_ITEM, "item_id must have at least 2 different values, found 1"),
        (clean().assign(user_id=None), "user_id must"),
        (
            broken("rating", *[0.0] * 11),
            r"set aside must be at most 0\.05 of all rows \(checks\.max_quarantined\), found 0\.055; most often: "
            r"rating must be from 1 to 5; 11 of 200 rows do not, such as .*; see dataset\.config\.rating_range$",
        ),
        (
            MILLISECONDS,
            r"set aside must be at most 0\.05 .*timestamp must be from 1970 to now.* are they milliseconds\?",
        ),
    ],
)
def test_critical_failures_stop_with_one_line_and_write_nothing(tmp_path: Path, frame: pd.DataFrame, message: str):
    with pytest.raises(DataError, match=message) as caught:
        run(tmp_path, frame, [1, 5])
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_more_may_be_set_aside_on_request(tmp_path: Path):
    assert run(tmp_path, broken("rating", *[0.0] * 11), [1, 5], max_quarantined=0.1)["n_quarantined"] == 11


def test_without_the_stage_before_the_way_out_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"ratings\.parquet does not exist; run the stage that writes it"):
        validate(ChecksParams(), tmp_path, tmp_path / "out")


CELLS = st.sampled_from([None, -7, 0, 1, 2, 3, 10**12])


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=12))
@settings(max_examples=15)
def test_masks_agree_with_great_expectations(rows: list[tuple[int | None, ...]]):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"]).astype("Int64")
    frame = frame.astype({"rating": "float64"})
    outcomes = judge("it", frame, rows_suite(frame, (1, 5), NOW))
    good = frame.dropna(subset=["user_id", "item_id"])
    outcomes += judge("it", good, pairs_suite())
    for outcome in outcomes:
        assert outcome.check.rows is not None
        table = good if outcome.check in pairs_suite() or outcome.check.column is None else frame
        assert outcome.passed == (not outcome.check.rows(table).any()), outcome.check


def prepared(**changes: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "user": np.arange(40, dtype=np.int32) // 4,
            "item": (np.arange(40, dtype=np.int32) // 4 + np.arange(40, dtype=np.int32) % 4) % 10,
            "part": ["train", "train", "valid", "test"] * 10,
        }
    )
    return frame.assign(**changes)


def test_a_prepared_table_passes():
    checks = check_prepared(prepared(), 10, 10)
    assert checks["table"] == "prepared"
    assert checks["passed"] is True
    assert all(one["passed"] for one in checks["expectations"])


@pytest.mark.parametrize(
    ("frame", "sizes", "message"),
    [
        (prepared(), (9, 10), "user must be of the catalogue, 0 to 8; 4 of 40 rows do not"),
        (prepared(), (11, 10), "user must use every id of the catalogue, found 10"),
        (prepared(item=0), (10, 1), "item must have at least 2 different values"),
        (prepared(part="train"), (10, 10), "part must have train, valid and test rows; users with"),
        (pd.concat([prepared(), prepared().head(1)]), (10, 10), "once, in one part of the split; 2 of 41 rows do not"),
    ],
)
def test_a_prepared_table_that_breaks_a_rule(frame: pd.DataFrame, sizes: tuple[int, int], message: str):
    with pytest.raises(DataError, match=message):
        check_prepared(frame.reset_index(drop=True), *sizes)


def test_a_dense_table_is_remembered_as_a_warning():
    full = prepared(user=np.arange(40) // 10, item=np.arange(40) % 10)
    failed = [one for one in check_prepared(full, 4, 10)["expectations"] if not one["passed"]]
    assert [(one["severity"], one["rule"]) for one in failed] == [
        ("warning", "must hold at most 50% of all pairs of its users and items")
    ]


def condensed(**changes: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"user": [0, 0, 1], "item": [0, 2, 1], "observed": [True, True, False], "keep_prob": [1.0, 0.5, 0.0]}
    )
    return frame.assign(**changes)


def test_a_condensed_table_passes():
    checks = check_condensed(condensed(), budget=3, n_users=2, n_items=3)
    assert checks["table"] == "condensed"
    assert checks["n_rows"] == 3
    assert all(one["passed"] for one in checks["expectations"])
    json.dumps(checks, allow_nan=False)


@pytest.mark.parametrize(
    ("frame", "budget", "message"),
    [
        (condensed(), 2, "the condensed table: it must have from 1 to 2 rows, the budget, found 3"),
        (condensed().head(0), 2, "from 1 to 2 rows, the budget, found 0"),
        (
            condensed(user=[0, 0, 7]),
            3,
            r"user must be of the catalogue, 0 to 1; 1 of 3 rows do not, such as \{\"row\": 2",
        ),
        (condensed(item=[0, 2, -1]), 3, "item must be of the catalogue, 0 to 2; 1 of 3"),
        (condensed(item=[0, 0, 1]), 3, "it must hold each user and item once; 2 of 3 rows do not"),
        (
            condensed(observed=["yes", "no", "no"]),
            3,
            r"observed must say true \(observed\) or false \(pseudo\); 3 of 3",
        ),
        (condensed(keep_prob=[1.0, 1.5, 0.1]), 3, "keep_prob must be a probability, 0 to 1; 1 of 3"),
        (condensed(keep_prob=[1.0, None, 0.1]), 3, "keep_prob must not be missing; 1 of 3"),
    ],
)
def test_a_condensed_table_that_breaks_a_rule(frame: pd.DataFrame, budget: int, message: str):
    with pytest.raises(DataError, match=message):
        check_condensed(frame, budget, n_users=2, n_items=3)


def test_every_user_of_an_inductive_set_must_be_there():
    assert check_condensed(condensed(), budget=3, n_users=2, n_items=3, inductive=True)["passed"]
    with pytest.raises(DataError, match="user must use every id of the set, found 2"):
        check_condensed(condensed(), budget=3, n_users=3, n_items=3, inductive=True)
    with pytest.raises(DataError, match="user must be of the set, 0 to 1; 1 of 3 rows do not"):
        check_condensed(condensed(user=[0, 0, 7]), budget=3, n_users=2, n_items=3, inductive=True)
    assert check_condensed(condensed(), budget=3, n_users=3, n_items=3)["passed"]


def test_the_page_stands_alone_and_escapes_what_comes_from_the_data(tmp_path: Path):
    frame = clean().astype({"user_id": "str"})
    frame.loc[0, ["user_id", "rating"]] = ["<script>alert(1)</script>", 77.0]
    checks = run(tmp_path, frame, [1, 5])
    page = (tmp_path / "out/checks.html").read_text()
    assert page == checks_page(checks)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Rows set aside" in page
    assert "http" not in page
