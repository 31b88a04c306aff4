import codecs
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.atomic import write_json
from dconrec_core.data.download import file_sha256
from dconrec_core.data.io import write_table
from dconrec_core.errors import ConfigError, DataError
from tasks.gate import judge_files
from tasks.params import ChecksParams, Component, RefreshParams
from tasks.refresh import Drift, append, new_users
from tasks.workspace import Workspace


def table(n_rows, seed=0, first_user=0, rating=None):
    """Rows of 400 users, no user and item twice."""
    rng, drawn = np.random.default_rng(seed), 2 * n_rows
    items = np.minimum(rng.geometric(0.05, drawn), 60)
    users = first_user + rng.integers(0, 400, drawn)
    ratings = rng.integers(1, 6, drawn) if rating is None else np.full(drawn, rating)
    rows = pd.DataFrame({"user_id": users, "item_id": items, "rating": ratings})
    return rows.drop_duplicates(["user_id", "item_id"], ignore_index=True).head(n_rows)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(2000).to_csv("ratings.csv", index=False)
    return Component(name="file", config={"path": "ratings.csv", "rating": "rating"}), Workspace()


def grow(home, frame, name="new.csv", **params):
    frame.to_csv(name, index=False)
    return append(home[0], RefreshParams(**params), ChecksParams(), home[1].root / name, home[1])


def test_an_increment_is_appended_once(home):
    more = table(60, seed=1)
    assert grow(home, more)
    assert len(pd.read_csv("ratings.csv")) == 2060
    assert not grow(home, more)
    assert len(pd.read_csv("ratings.csv")) == 2060
    told = json.loads(home[1].refresh.read_text())
    assert told["passed"]
    assert told["growth"] == pytest.approx(0.03)


def test_one_that_was_announced_but_never_arrived_is_appended(home):
    before = (home[1].root / "ratings.csv").read_bytes()
    grow(home, table(60, seed=1))
    (home[1].root / "ratings.csv").write_bytes(before)  # killed between the note and the rename
    assert grow(home, table(60, seed=1))
    assert len(pd.read_csv("ratings.csv")) == 2060


class CutOff(BaseException):
    """As a kill."""


@pytest.mark.parametrize("arrived", [True, False])
def test_cut_off_on_either_side_of_the_rename_the_checks_count_once_the_increment_is_there(home, monkeypatch, arrived):
    files, more = home[1], table(60, seed=1)
    for path in (files.validated / "checks.json", files.split / "checks.json", files.condensed_checks):
        write_json(path, {"passed": True})

    def replace(source, place):
        if Path(place).name != "ratings.csv":
            return real(source, place)
        if arrived:
            real(source, place)
        raise CutOff

    def has_counted():
        sha256 = file_sha256(files.root / "ratings.csv")
        write_json(files.raw / "source.json", {"dataset": "file", "source": "ratings.csv", "sha256": sha256})
        return "increment" in next(one.reason for one in judge_files(files) if one.rule == "data_checks")

    real = os.replace
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(CutOff):
        grow(home, more)
    monkeypatch.setattr(os, "replace", real)
    assert has_counted() == arrived
    assert grow(home, more) == (not arrived)
    assert len(pd.read_csv("ratings.csv")) == 2060
    assert has_counted()


@pytest.mark.parametrize("back", [1, 2, 3])
def test_after_going_back_to_an_older_version_what_came_later_is_appended_again(home, back):
    file, increments = home[1].root / "ratings.csv", [table(60, seed=seed) for seed in (1, 2, 3)]
    versions = []
    for increment in increments:
        versions.append(file.read_bytes())
        assert grow(home, increment)
    newest = file.read_bytes()
    file.write_bytes(versions[-back])  # as `dvc checkout` does; the list of increments is beside it, and not DVC's
    assert [grow(home, increment) for increment in increments] == [number >= 3 - back for number in range(3)]
    assert file.read_bytes() == newest
    assert len(json.loads((home[1].root / "ratings.csv.increments.json").read_text())) == 3


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (table(900, seed=1), "growth"),
        (table(60, seed=1, first_user=1000), "new_users"),
        (table(60, seed=1).assign(item_id=lambda t: t["item_id"] + 500), "new_items"),
        (table(60, seed=1).assign(item_id=60), "popularity_shift"),
        (table(60, seed=1, rating=5), "rating_shift"),
    ],
)
def test_what_is_unlike_the_past_is_refused_and_nothing_changes(home, frame, word):
    before = file_sha256(home[1].root / "ratings.csv")
    with pytest.raises(DataError, match=word):
        grow(home, frame)
    assert file_sha256(home[1].root / "ratings.csv") == before
    assert not home[1].refresh.exists()


def test_drift_of_the_same_table_is_none():
    drift = Drift.between(table(500), table(500))
    assert (drift.new_users, drift.new_items) == (0, 0)
    assert drift.popularity_shift == drift.rating_shift == pytest.approx(0)


def test_what_would_stop_validate_for_good_is_refused(home):
    more = table(60, seed=1).astype({"rating": object})
    more.loc[0, "rating"] = "☃"
    with pytest.raises(DataError, match=r"new\.csv: rating must hold numbers; 1 of 60 rows do not"):
        grow(home, more)
    assert len(pd.read_csv("ratings.csv")) == 2000


def test_rows_that_are_there_already_are_refused_before_they_stop_validate_for_good(home):
    before = (home[1].root / "ratings.csv").read_bytes()
    few, many = (pd.read_csv("ratings.csv").tail(n)[::-1] for n in (60, 200))  # an export whose window overlaps
    with pytest.raises(
        DataError, match=r"new\.csv would spoil ratings\.csv: set aside must be at most 0\.05 of all rows"
    ):
        grow(home, many)
    assert (home[1].root / "ratings.csv").read_bytes() == before
    assert not Path("ratings.csv.increments.json").exists()
    assert grow(home, few)


def test_a_damaged_list_of_increments_is_named_and_not_to_be_deleted(home):
    Path("ratings.csv.increments.json").write_text("<<<<<<< HEAD\n[]\n=======\n")
    with pytest.raises(DataError, match=r"ratings\.csv\.increments\.json is not JSON .*; restore it"):
        grow(home, table(60, seed=1))


def test_other_columns_and_datasets_that_do_not_grow_are_named(home):
    with pytest.raises(DataError, match=r"another header than ratings\.csv"):
        grow(home, table(60, seed=1)[["item_id", "user_id", "rating"]])
    with pytest.raises(ConfigError, match=r"dataset\.name is ml-100k, which does not grow"):
        append(Component(name="ml-100k"), RefreshParams(), ChecksParams(), home[1].root / "new.csv", home[1])
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        append(home[0], RefreshParams(), ChecksParams(), home[1].root / "gone.csv", home[1])


@pytest.fixture
def headless(home):
    """Writes the user's file and an increment without headers, and appends it."""

    def grow(before, increment, **config):
        before.to_csv("ratings.csv", index=False, header=False)
        (home[1].root / "new.csv").write_text(increment)
        config = {"path": "ratings.csv", "names": ["who", "what", "rating"], "user": "who", "item": "what", **config}
        loose = RefreshParams(**dict.fromkeys(("max_new_users", "max_new_items"), 1), max_popularity_shift=100)
        return append(Component(name="file", config=config), loose, ChecksParams(), home[1].root / "new.csv", home[1])

    return grow


@pytest.mark.parametrize("name", ["{}", "user{}", "{:x}f"])  # 7, user7; 1f as well as af
def test_files_without_a_header_grow_whatever_their_ids_look_like(headless, name):
    def renamed(frame):
        return frame.assign(user_id=frame["user_id"].map(name.format), item_id=frame["item_id"].map(name.format))

    before, more = renamed(table(2000)), renamed(table(60, seed=1))
    increment = pd.concat([before.head(1), more]).to_csv(index=False, header=False)  # its first row is the file's
    assert headless(before, increment)
    assert Path("ratings.csv").read_text() == before.to_csv(index=False, header=False) + increment


def test_a_header_is_no_row_of_a_file_without_one(headless):
    numbers, rows = table(2000), table(60, seed=1).to_csv(index=False, header=False)
    words = numbers.assign(user_id=numbers["user_id"].map("u{}".format), item_id=numbers["item_id"].map("i{}".format))
    for before, header in (numbers, "userId,movieId,stars"), (words, "who,what,rating"):
        with pytest.raises(
            DataError, match=r"new\.csv begins with a header line .*'(userId|who)'.*dataset\.config\.names"
        ):
            headless(before, f"{header}\n{rows}")
        assert Path("ratings.csv").read_text() == before.to_csv(index=False, header=False)
    assert headless(numbers, "u7,8,4\n" + rows, text_ids=True)


def parquet_bytes(frame):
    frame.to_parquet("a.parquet", index=False)
    return Path("a.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("new.csv.gz", lambda t: gzip.compress(t.to_csv(index=False, header=False).encode()), "gzipped text"),
        ("new.tsv", lambda t: t.to_csv(index=False, header=False, sep="\t").encode(), r"text separated by '\\t'"),
        ("new.parquet", parquet_bytes, "Parquet"),
    ],
)
@pytest.mark.parametrize("names", [["user_id", "item_id", "rating"], None])
def test_an_increment_of_another_format_is_refused_and_the_file_is_as_before(home, name, content, what, names):
    table(2000).to_csv("ratings.csv", index=False, header=names is None)
    before = Path("ratings.csv").read_bytes()
    Path(name).write_bytes(content(table(60, seed=1)))
    dataset = Component(name="file", config={"path": "ratings.csv", "rating": "rating", "names": names})
    with pytest.raises(
        DataError, match=rf"{name} is {what}.*, ratings\.csv is text separated by ',' by its name; save"
    ):
        append(dataset, RefreshParams(), ChecksParams(), home[1].root / name, home[1])
    assert Path("ratings.csv").read_bytes() == before
    assert not Path("ratings.csv.increments.json").exists()


def test_a_parquet_file_grows_by_one(home):
    table(2000).to_parquet("ratings.parquet", index=False)
    dataset = Component(name="file", config={"path": "ratings.parquet", "rating": "rating"})
    more = table(60, seed=1)
    more.to_parquet("new.parquet", index=False)
    assert append(dataset, RefreshParams(), ChecksParams(), home[1].root / "new.parquet", home[1])
    pd.testing.assert_frame_equal(pd.read_parquet("ratings.parquet"), pd.concat([table(2000), more], ignore_index=True))


def test_a_byte_order_mark_stays_out_of_the_middle_of_the_file(home, headless):
    more = table(60, seed=1)
    Path("new.csv").write_bytes(codecs.BOM_UTF8 + more.to_csv(index=False).encode())
    assert append(home[0], RefreshParams(), ChecksParams(), home[1].root / "new.csv", home[1])
    assert Path("ratings.csv").read_text() == table(2000).to_csv(index=False) + more.to_csv(index=False, header=False)
    rows = more.to_csv(index=False, header=False)
    assert headless(table(2000), codecs.BOM_UTF8.decode() + rows)
    assert Path("ratings.csv").read_text() == table(2000).to_csv(index=False, header=False) + rows


def test_what_would_make_the_file_unreadable_or_its_ids_text_is_refused(home):
    words = table(60, seed=1).astype({"user_id": object})
    words.loc[5, "user_id"] = "u5"
    before = Path("ratings.csv").read_bytes()
    with pytest.raises(DataError, match=r"new\.csv would spoil ratings\.csv: user_id would be str instead of int64"):
        grow(home, words)
    assert Path("ratings.csv").read_bytes() == before
    utf_16 = table(2000).to_csv(index=False, header=False).encode("utf-16")
    Path("ratings.csv").write_bytes(utf_16)
    Path("new.csv").write_bytes(table(60, seed=1).to_csv(index=False, header=False).encode("utf-16"))
    names = {"names": ["user_id", "item_id", "rating"], "encoding": "utf-16"}
    with pytest.raises(DataError, match=r"new\.csv would spoil ratings\.csv: ratings\.csv cannot be read: "):
        append(
            Component(name="file", config={**home[0].config, **names}), RefreshParams(), ChecksParams(),
            home[1].root / "new.csv", home[1],
        )  # fmt: skip
    assert Path("ratings.csv").read_bytes() == utf_16
    assert {path.name for path in Path().iterdir()} == {"ratings.csv", "new.csv"}


def test_new_users_are_those_of_the_latest_increment(home):
    more = table(60, seed=1)
    more.loc[:4, "user_id"] = 777
    grow(home, more)
    files = home[1]
    write_table(files.raw / "ratings.parquet", pd.read_csv("ratings.csv"))
    source = {"dataset": "file", "source": "ratings.csv", "sha256": file_sha256(files.root / "ratings.csv")}
    write_json(files.raw / "source.json", source)
    assert new_users(files) == {"777"}
    write_json(files.raw / "source.json", source | {"sha256": "another"})
    assert new_users(files) == set()


def test_an_increment_of_bad_rows_is_refused_before_it_drowns_in_good_ones(home):
    bad = table(60, seed=1).astype({"item_id": "Int64"})
    bad.loc[:29, "item_id"] = pd.NA  # 1.5 % of all rows in the end, which validate would let pass
    with pytest.raises(DataError, match=r"new\.csv: set aside must be at most 0\.05.*item_id.*30 of 60 rows"):
        grow(home, bad)
    assert len(pd.read_csv("ratings.csv")) == 2000
    few = table(60, seed=1).astype({"item_id": "Int64"})
    few.loc[0, "item_id"] = pd.NA
    assert grow(home, few)  # one in sixty is for validate to set aside


def test_one_bad_row_of_a_small_increment_is_left_to_validate(home):
    few = table(60, seed=1).head(8).astype({"item_id": "Int64"})
    few.loc[few.index[0], "item_id"] = pd.NA  # an eighth of the rows
    assert grow(home, few, max_popularity_shift=100, max_rating_shift=100, max_new_items=1)
