"""From a source to Parquet, all or nothing."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.options import RunOptions
from tasks.ingest import ingest
from tasks.params import Component

ROWS = "user_id,item_id,rating,name\n1,a,5,Ay\n2,b,3.5,Bee\n"
SYNTHETIC = {"n_users": 200, "n_items": 150, "n_interactions": 5_000}


def run(folder: Path, name: str, **config: Any) -> Path:
    out = folder / "raw"
    ingest(Component(name=name, config=config), out, folder / "cache", RunOptions())
    return out


def test_a_file_with_titles(tmp_path: Path):
    (tmp_path / "r.csv").write_text(ROWS)
    out = run(tmp_path, "file", path=str(tmp_path / "r.csv"), rating="rating", title="name", rating_range=[1, 5])
    assert pd.read_parquet(out / "ratings.parquet").to_dict("list") == {
        "user_id": [1, 2],
        "item_id": ["a", "b"],
        "rating": [5, 3.5],
    }
    assert pd.read_parquet(out / "items.parquet").to_dict("list") == {"item_id": ["a", "b"], "title": ["Ay", "Bee"]}
    source = json.loads((out / "source.json").read_text())
    assert len(source.pop("sha256")) == 64
    assert source == {
        "dataset": "file",
        "source": str(tmp_path / "r.csv"),
        "n_rows": 2,
        "columns": {"user_id": "int64", "item_id": "str", "rating": "float64"},
        "rating_range": [1.0, 5.0],
        "titles": True,
    }


def test_no_titles_no_items_file_and_twice_the_same_bytes(tmp_path: Path):
    (tmp_path / "r.csv").write_text(ROWS)
    for name in ("one", "two"):
        ingest(Component(name="file", config={"path": tmp_path / "r.csv"}), tmp_path / name, tmp_path, RunOptions())
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"ratings.parquet", "source.json"}
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_second_run_leaves_nothing_of_the_first(tmp_path: Path):
    run(tmp_path, "synthetic", **SYNTHETIC)
    (tmp_path / "r.csv").write_text(ROWS)
    out = run(tmp_path, "file", path=str(tmp_path / "r.csv"))
    assert not (out / "items.parquet").exists()


@pytest.mark.parametrize(
    ("name", "config", "error", "message"),
    [
        ("ml-100", {}, ConfigError, "dataset.name is 'ml-100'; did you mean 'ml-100k'"),
        ("file", {"pat": "x"}, ConfigError, "dataset.config.pat"),
        ("file", {"path": "nowhere.csv"}, DataError, "nowhere.csv does not exist"),
    ],
)
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, name: str, config: dict[str, Any], error: type[Exception], message: str
):
    out = run(tmp_path, "synthetic", **SYNTHETIC)
    before = (out / "source.json").read_bytes()
    with pytest.raises(error, match=message):
        run(tmp_path, name, **config)
    assert (out / "source.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"raw"}


def test_a_header_alone_is_no_data(tmp_path: Path):
    (tmp_path / "r.csv").write_text(ROWS.splitlines()[0] + "\n")
    with pytest.raises(DataError, match=r"r\.csv has columns and no rows; bring a file that has some"):
        run(tmp_path, "file", path=str(tmp_path / "r.csv"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr("dconrec_core.data.io.pq.write_table", refuse)
    with pytest.raises(OSError, match=os.strerror(code)):
        run(tmp_path, "synthetic", **SYNTHETIC)
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where we may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("mounting needs root and the capability for it")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path):
    with pytest.raises(OSError, match="No space left") as caught:
        run(tiny_disk, "synthetic", n_users=2_000, n_items=1_000, n_interactions=50_000)
    assert caught.value.errno == errno.ENOSPC
    assert list(tiny_disk.rglob("*")) == []


def test_a_disk_that_is_really_read_only(tiny_disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        run(tiny_disk, "synthetic", **SYNTHETIC)
