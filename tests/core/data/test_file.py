"""Anyone's own file: what is read, and what is said when it cannot be."""

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dconrec_core.data import DATASETS, RawTable
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions

ROWS = "user_id,item_id,rating,timestamp\n1,a,5,100\n2,b,3.5,200\n2,a,1,300\n"
FULL = {"rating": "rating", "timestamp": "timestamp"}


def load(path: Path, **settings: Any) -> RawTable:
    entry = DATASETS["file"]
    return entry.build(entry.configure("dataset.config", {"path": path, **settings})).load(Path("unused"), RunOptions())


def written(folder: Path, text: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv(tmp_path: Path):
    table = load(written(tmp_path, ROWS), **FULL, rating_range=(1, 5))
    assert table.frame.to_dict("list") == {
        "user_id": [1, 2, 2],
        "item_id": ["a", "b", "a"],
        "rating": [5, 3.5, 1],
        "timestamp": [100, 200, 300],
    }
    assert [str(dtype) for dtype in table.frame.dtypes] == ["int64", "str", "float64", "int64"]
    assert table.rating_range == (1, 5)
    assert table.items is None
    assert len(table.sha256) == 64


@pytest.mark.parametrize(("separator", "name"), [("\t", "r.tsv"), (";", "r.csv"), ("::", "r.dat"), ("|", "r.txt")])
def test_every_separator_gives_the_same_table(tmp_path: Path, separator: str, name: str):
    path = written(tmp_path, ROWS.replace(",", separator), name)
    settings = {} if name == "r.tsv" else {"separator": separator}
    pd.testing.assert_frame_equal(load(path, **FULL, **settings).frame, load(written(tmp_path, ROWS), **FULL).frame)


@pytest.mark.parametrize("tab", ["tab", "\\t", "\t"])
def test_a_tab_can_be_written_as_people_do(tmp_path: Path, tab: str):
    assert len(load(written(tmp_path, ROWS.replace(",", "\t")), separator=tab).frame) == 3


def test_gzip_quotes_byte_order_mark_and_windows_line_ends(tmp_path: Path):
    expected = load(written(tmp_path, ROWS), **FULL).frame
    zipped = written(tmp_path, gzip.compress(ROWS.encode()), "r.csv.gz")
    odd = written(tmp_path, "\ufeff" + ROWS.replace("item_id", '"item_id"').replace("\n", "\r\n"), "odd.csv")
    for path in (zipped, odd):
        pd.testing.assert_frame_equal(load(path, **FULL).frame, expected)


def odd_titles(separator: str) -> str:
    """Rows of which the second and the fourth begin a title with a quote that is never closed."""
    titles = ["A", '"Odd', "C", '"Odd', "E"]
    rows = [separator.join((str(row), f"i{row}", title)) for row, title in enumerate(titles)]
    return "\n".join([separator.join(("user_id", "item_id", "name")), *rows, ""])


@pytest.mark.parametrize(
    ("separator", "name"), [("\t", "r.tsv"), ("\t", "r.inter"), ("|", "r.csv"), ("::", "r.csv"), ("¦", "r.csv")]
)
def test_a_quote_is_a_character_where_no_commas_are(tmp_path: Path, separator: str, name: str):
    settings = {} if separator == "\t" else {"separator": separator}
    table = load(written(tmp_path, odd_titles(separator), name), title="name", **settings)
    assert table.frame["user_id"].tolist() == [0, 1, 2, 3, 4]
    assert table.items is not None
    assert table.items["title"].tolist() == ["A", '"Odd', "C", '"Odd', "E"]


@pytest.mark.parametrize("separator", [",", ";"])
def test_an_open_quote_is_named_by_its_line_rather_than_swallow_rows(tmp_path: Path, separator: str):
    said = r"ratings\.csv line 3: a double quote opens a field that does not end on .* \('1.i1.\"Odd'\); close it"
    with pytest.raises(DataError, match=said):
        load(written(tmp_path, odd_titles(separator)), separator=separator)
    closed = odd_titles(separator).replace('"Odd', f'"Odd{separator} ""very"""').replace("C", '5" pipe')
    table = load(written(tmp_path, closed), separator=separator, title="name")
    assert table.items is not None
    assert table.items["title"].tolist() == ["A", f'Odd{separator} "very"', '5" pipe', f'Odd{separator} "very"', "E"]
    titles = {"path": written(tmp_path, odd_titles(separator), "t.csv"), "title": "name", "separator": separator}
    with pytest.raises(DataError, match=r"t\.csv line 3"):
        load(written(tmp_path, ROWS), titles=titles)


def test_parquet_equals_csv(tmp_path: Path):
    expected = load(written(tmp_path, ROWS), **FULL).frame
    path = tmp_path / "r.parquet"
    expected.assign(timestamp=pd.to_datetime(expected["timestamp"], unit="s")).to_parquet(path)
    pd.testing.assert_frame_equal(load(path, **FULL).frame, expected)


def test_large_ids_stay_apart_where_one_is_missing(tmp_path: Path):
    path, ids = tmp_path / "r.parquet", [2**53, 2**53 + 1, None]
    frame = pd.DataFrame(
        {"user_id": pd.array(ids, dtype="Int64"), "item_id": pd.array([2**64 - 1, 1, 2], dtype="UInt64")}
    )
    frame.to_parquet(path)
    read = load(path).frame
    assert str(read["user_id"].dtype) == "Int64"
    assert read["user_id"].dropna().tolist() == ids[:2]
    assert read["item_id"].tolist() == [str(2**64 - 1), "1", "2"]


def test_no_header_other_names_and_another_encoding(tmp_path: Path):
    path = written(tmp_path, "x1|Café\nx2|Thé\n".encode("latin-1"), "r.txt")
    table = load(path, separator="|", names=["who", "what"], user="who", item="what", encoding="latin-1")
    assert table.frame.to_dict("list") == {"user_id": ["x1", "x2"], "item_id": ["Café", "Thé"]}


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("s", ["1714566600", "0"]),
        ("ms", ["1714566600000", "999"]),
        ("iso", ["2024-05-01 12:30:00", "1970-01-01T00:00:00Z"]),
    ],
)
def test_times_become_seconds(tmp_path: Path, unit: str, times: list[str]):
    text = "user_id,item_id,t\n" + "".join(f"{row},1,{time}\n" for row, time in enumerate(times))
    table = load(written(tmp_path, text), timestamp="t", timestamp_unit=unit)
    assert table.frame["timestamp"].tolist() == [1714566600, 0]
    assert table.frame["timestamp"].dtype == "int64"


def test_a_word_among_dates_is_left_for_the_checks_and_a_number_is_asked_about(tmp_path: Path):
    def of(*times: str) -> list[Any]:
        rows = "".join(f"{user},1,{time}\n" for user, time in enumerate(times))
        path = written(tmp_path, f"user_id,item_id,when\n{rows}")
        return load(path, timestamp="when", timestamp_unit="iso").frame["timestamp"].tolist()

    assert of("1970-01-02", "soon", "1970-01-01T00:01Z") == ["86400", "soon", "60"]
    said = r"ratings\.csv: 'when' holds numbers such as 1600000775, and dataset\.config\.timestamp_unit is iso; set it"
    with pytest.raises(DataError, match=said):
        of("1970-01-02", "1600000775")


def test_a_missing_time_is_left_for_the_checks(tmp_path: Path):
    table = load(written(tmp_path, "user_id,item_id,t\n1,1,5\n2,2,\n"), timestamp="t")
    assert str(table.frame["timestamp"].dtype) == "Int64"
    assert table.frame["timestamp"].isna().tolist() == [False, True]


def test_words_in_number_columns_are_left_for_the_checks(tmp_path: Path):
    text = "user_id,item_id,rating,timestamp\n1,1,five,yesterday\n2,2,4,5\n"
    frame = load(written(tmp_path, text), **FULL).frame
    assert frame["rating"].tolist() == ["five", "4"]
    assert frame["timestamp"].tolist() == ["yesterday", "5"]
    assert (
        load(written(tmp_path, text), timestamp="timestamp", timestamp_unit="iso").frame["timestamp"][0] == "yesterday"
    )


def test_titles_in_the_same_file(tmp_path: Path):
    table = load(written(tmp_path, "user_id,item_id,name\n1,7,Seven\n2,7,Seven\n2,8,\n"), title="name")
    assert table.items is not None
    assert table.items.to_dict("list") == {"item_id": [7], "title": ["Seven"]}


def test_titles_in_a_file_of_their_own(tmp_path: Path):
    titles = written(tmp_path, "id\tname\n7\tSeven\n9\tNine\n", "titles.tsv")
    settings = {"titles": {"path": titles, "item": "id", "title": "name"}}
    table = load(written(tmp_path, "user_id,item_id\n1,7\n2,x\n"), **settings)  # ids are text here, numbers there
    assert table.items is not None
    assert table.items.to_dict("list") == {"item_id": ["7", "9"], "title": ["Seven", "Nine"]}
    with pytest.raises(
        DataError, match=r"titles\.tsv has a title for no item of .*ratings\.csv; see dataset\.config\.titles"
    ):
        load(written(tmp_path, "user_id,item_id\n1,70\n"), **settings)


@pytest.mark.parametrize(("item", "other"), [("", "8"), ("8", "")])
def test_a_missing_id_costs_no_other_its_title(tmp_path: Path, item: str, other: str):
    titles = written(tmp_path, f"id\tname\n7\tSeven\n{other}\tEight\n", "titles.tsv")
    ratings = written(tmp_path, f"user_id,item_id\n1,7\n2,{item}\n")
    table = load(ratings, titles={"path": titles, "item": "id", "title": "name"})
    assert table.items is not None
    assert table.items["title"].tolist()[0] == "Seven"


def test_a_title_by_an_id_that_is_no_number_spoils_no_other(tmp_path: Path):
    titles = written(tmp_path, "id\tname\n7\tSeven\nx7\tStray\n", "titles.tsv")
    table = load(
        written(tmp_path, "user_id,item_id\n1,7\n2,8\n"), titles={"path": titles, "item": "id", "title": "name"}
    )
    assert table.items is not None
    assert table.items.to_dict("list") == {"item_id": [7], "title": ["Seven"]}


def test_a_split_of_ones_own(tmp_path: Path):
    path = written(tmp_path, "user_id,item_id,fold\n1,2,train\n1,3,test\n2,2,\n")
    parts = load(path, part="fold").frame["part"]
    assert parts[:2].tolist() == ["train", "test"]
    assert pd.isna(parts[2])  # the checks' business


def test_missing_file_offers_the_nearest_name(tmp_path: Path):
    written(tmp_path, ROWS)
    with pytest.raises(
        DataError, match=r"rating\.csv does not exist; did you mean .*ratings\.csv\? set dataset\.config\.path"
    ):
        load(tmp_path / "rating.csv")
    with pytest.raises(DataError, match=r"does not exist; set dataset\.config\.path"):
        load(tmp_path / "nowhere/x.csv")
    with pytest.raises(DataError, match=r"is a folder; dataset\.config\.path must be a file"):
        load(tmp_path)


def test_wrong_separator_is_recognised(tmp_path: Path):
    path = written(tmp_path, ROWS.replace(",", ";"))
    with pytest.raises(DataError, match=r"ratings\.csv is separated by ';', not ','; set dataset\.config\.separator"):
        load(path, **FULL)


def test_renamed_column_offers_the_nearest_name(tmp_path: Path):
    path = written(tmp_path, ROWS.replace("rating,", "ratings,"))
    with pytest.raises(
        DataError, match=r"ratings\.csv has no column 'rating'; did you mean 'ratings'\? valid names: item_id"
    ):
        load(path, rating="rating")
    parquet = tmp_path / "r.parquet"
    pd.DataFrame({"user": [1], "item_id": [1]}).to_parquet(parquet)
    with pytest.raises(DataError, match=r"r\.parquet has no column 'user_id'; did you mean 'user'\?"):
        load(parquet)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty; it needs a header line"),
        (
            "user_id,item_id\n1,2\n3,4,5\n",
            r"cannot be read: .*Row #3: Expected 2 columns, got 3.*quote a field that holds",
        ),
        ("user_id,item_id\n1,2\n3\n", r"cannot be read: .*Expected 2 columns, got 1.*check dataset\.config\.separator"),
        (b"user_id,item_id\n1,caf\xe9\n", r"cannot be read: it is not text in the encoding set; .*latin-1"),
        (b"\xff\xfe\x00\x01", r"cannot be read: it is not text in the encoding set"),
        ("user_id,item_id,user_id\n1,2,3\n", r"has 2 columns called 'user_id'; rename all but one"),
    ],
)
def test_unreadable_text_is_one_line(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(DataError, match=message) as caught:
        load(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_unreadable_parquet_gzip_and_long_separators_are_one_line(tmp_path: Path):
    cut_off = gzip.compress(ROWS.encode() * 1000)[:200]
    for content, name, way_out in (
        ("no", "r.parquet", "it is not Parquet, or not all of it: copy it again"),
        ("no", "r.csv.gz", "it is no whole gzip file: copy it again, or drop .gz"),
        (cut_off, "cut.csv.gz", "it is no whole gzip file: copy it again, or drop .gz"),
    ):
        with pytest.raises(DataError, match=f"cannot be read: .*{way_out}") as caught:
            load(written(tmp_path, content, name))
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        load(written(tmp_path, "user_id::item_id\n1::2\n1::2::3\n", "r.dat"), separator="::")
    with pytest.raises(DataError, match=r"cannot be read: unknown encoding: utf-9; set dataset\.config\.encoding"):
        load(written(tmp_path, ROWS), encoding="utf-9")


@pytest.mark.parametrize("separator", ["|", "::"])
def test_a_field_without_a_name_shifts_no_column(tmp_path: Path, separator: str):
    path = written(tmp_path, "7,1193,5,978300760\n8,661,3,978302109\n".replace(",", separator), "r.dat")
    said = r"r\.dat cannot be read: .*(Expected 3 columns, got 4|more fields than there are names)"
    with pytest.raises(DataError, match=said):
        load(path, separator=separator, names=["user_id", "item_id", "stars"])
    named = load(path, separator=separator, names=["user_id", "item_id", "stars", "time"], rating="stars").frame
    assert named["user_id"].tolist() == [7, 8]
    assert named["rating"].tolist() == [5, 3]


def test_header_alone_is_a_table_without_rows(tmp_path: Path):
    table = load(written(tmp_path, "user_id,item_id,rating\n"), rating="rating")
    assert len(table.frame) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "x", "user": "id", "item": "id"}, "dataset.config: user and item both name 'id'"),
        ({"path": "x", "title": "t", "titles": {"path": "y"}}, "not both"),
        ({"path": "x", "rating_range": [5, 1]}, "must rise"),
        ({"path": "x", "separator": ""}, "leave it out"),
        ({"path": "x", "separater": ";"}, "did you mean 'separator'"),
        ({}, "dataset.config.path is missing"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        DATASETS["file"].configure("dataset.config", settings)
