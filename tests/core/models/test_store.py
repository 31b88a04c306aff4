"""Fitted models on disk, and the tables that stages hand over."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dconrec_core.data.io import (
    read_interactions,
    read_pool,
    read_split,
    read_table,
    write_pool,
    write_split,
    write_table,
)
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.models import MODELS
from dconrec_core.models.store import load_model, save_model, stored_model_name
from dconrec_core.types import Split
from tests.contracts import fitted, planted_pool


@pytest.mark.parametrize("name", sorted(MODELS))
def test_loaded_model_scores_as_the_saved_one(name: str, planted_split: Split, tmp_path: Path) -> None:
    model, _ = fitted(name, planted_split)
    save_model(tmp_path, name, model)
    users = np.arange(60, dtype=np.int32)
    loaded = load_model(tmp_path)
    assert loaded.score(users).tobytes() == model.score(users).tobytes()
    assert loaded.config == model.config
    assert stored_model_name(tmp_path) == name
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda at: (at / "model.json").unlink(), DataError, r"model\.json does not exist; run the pretrain stage"),
        (lambda at: (at / "model.json").write_text("{"), DataError, r"model\.json is not JSON"),
        (lambda at: (at / "model.json").write_text("[]"), DataError, "does not say 'model' and 'config'"),
        (
            lambda at: (at / "model.json").write_text('{"model": "bprfm", "config": {}}'),
            ConfigError,
            r"model\.json: model is 'bprfm'; did you mean 'bprmf'",
        ),
        (lambda at: (at / "weights.safetensors").unlink(), DataError, r"weights\.safetensors does not exist"),
        (lambda at: (at / "weights.safetensors").write_bytes(b"x"), DataError, "holds no weights of 'bprmf'"),
    ],
)
def test_spoilt_model_says_what_is_wrong(
    spoil: Callable[[Path], object], error: type[Exception], message: str, planted_split: Split, tmp_path: Path
) -> None:
    save_model(tmp_path, "bprmf", fitted("bprmf", planted_split, epochs=1)[0])
    spoil(tmp_path)
    with pytest.raises(error, match=message):
        load_model(tmp_path)


def test_a_model_cut_off_over_another_is_none_rather_than_a_mixture(
    planted_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, _) = (fitted("bprmf", planted_split, epochs=epochs) for epochs in (1, 2))
    save_model(tmp_path, "bprmf", first)
    replace = os.replace

    def cut_off(source: Path, target: Path) -> None:
        if target == tmp_path / "model.json":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            save_model(tmp_path, "bprmf", second)
    with pytest.raises(DataError, match=r"model\.json does not exist; run the pretrain stage"):
        load_model(tmp_path)
    save_model(tmp_path, "bprmf", second)
    assert load_model(tmp_path).config == second.config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]


def test_an_error_before_a_model_is_written_leaves_the_earlier_one(
    planted_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, _) = (fitted("bprmf", planted_split, epochs=epochs) for epochs in (1, 2))
    save_model(tmp_path, "bprmf", first)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dconrec_core.models.store.save_file", full)
    with pytest.raises(OSError, match="No space left on device"):
        save_model(tmp_path, "bprmf", second)
    assert load_model(tmp_path).config == first.config


def test_split_and_pool_come_back_as_they_were(planted_split: Split, tmp_path: Path) -> None:
    write_split(tmp_path, planted_split)
    read = read_split(tmp_path)
    for part in ("train", "valid", "test"):
        assert getattr(read, part).fingerprint() == getattr(planted_split, part).fingerprint()
    pool = planted_pool(planted_split)
    write_pool(tmp_path, pool)
    again = read_pool(tmp_path)
    assert again.interactions.fingerprint() == pool.interactions.fingerprint()
    assert again.observed.tolist() == pool.observed.tolist()
    assert again.score.tobytes() == pool.score.tobytes()


def test_tables_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(DataError, match=r"t\.parquet does not exist; run the stage that writes it"):
        read_table(path)
    path.write_text("no")
    with pytest.raises(DataError, match=r"t\.parquet is not a readable Parquet file"):
        read_table(path)
    write_table(path, pd.DataFrame({"user": [1]}))
    with pytest.raises(DataError, match=r"t\.parquet has no column 'item'; its columns are user"):
        read_interactions(path)
    write_table(path, pd.DataFrame({"user": [1], "item": [1]}))
    with pytest.raises(DataError, match="does not say its catalogue size"):
        read_interactions(path)


CATALOGUE = {"n_users": "2", "n_items": "2"}


@pytest.mark.parametrize(
    ("columns", "catalogue", "message"),
    [
        ({"user": ["a"], "item": [0]}, CATALOGUE, "user ids are object, expected whole numbers"),
        ({"user": [0], "item": [0.5]}, CATALOGUE, r"item ids hold 0\.5"),
        ({"user": [2**32], "item": [0]}, CATALOGUE, "user ids hold 4294967296"),
        ({"user": [0, None], "item": [0, 1]}, CATALOGUE, "user ids hold nan"),
        ({"user": [0, 0], "item": [1, 0]}, CATALOGUE, "interactions must be sorted by user, then item"),
        ({"user": [0], "item": [2]}, CATALOGUE, r"item ids span 2\.\.2, the catalogue is 0\.\.1"),
        ({"user": [0], "item": [0]}, {**CATALOGUE, "n_users": "two"}, "does not say its catalogue size"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_ids_that_are_not_ids_are_an_error_of_the_file(
    columns: dict[str, list[object]], catalogue: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata(catalogue), path)
    with pytest.raises(DataError, match=rf"t\.parquet:? {message}"):
        read_interactions(path)


@pytest.mark.parametrize("column", ["user", "observed", "score"])
def test_pool_without_a_column_names_it(column: str, planted_split: Split, tmp_path: Path) -> None:
    write_pool(tmp_path, planted_pool(planted_split))
    path = tmp_path / "pool.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(DataError, match=rf"pool\.parquet has no column '{column}'"):
        read_pool(tmp_path)
