"""From rows that passed to three parts over dense ids."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dconrec_core.data.io import read_split, write_table
from dconrec_core.data.prepare import prepare
from dconrec_core.errors import ConfigError, DataError
from tasks.params import PrepareParams, SplitParams
from tasks.split import divide, split


def ratings() -> pd.DataFrame:
    """Thirty users with ten items each and one with a single item; every fifth rating is a 2."""
    place = np.arange(300)
    frame = pd.DataFrame(
        {
            "user_id": 100 + place // 10,
            "item_id": [f"i{item}" for item in (place // 10 + 3 * (place % 10)) % 40],
            "rating": np.where(place % 5 == 0, 2.0, 4.0),
            "timestamp": 1_000 + place,
        }
    )
    single = pd.DataFrame({"user_id": [7], "item_id": ["i1"], "rating": [5.0], "timestamp": [1]})
    return pd.concat([frame, single], ignore_index=True)


def run(
    folder: Path, frame: pd.DataFrame, out: str = "out", *, seed: int = 0, k_core: int = 0, threshold: float | None = 3,
    **params: Any,
) -> Path:  # fmt: skip
    write_table(folder / "validated/ratings.parquet", frame)
    prepare = PrepareParams(threshold=threshold, k_core=k_core)
    split(prepare, SplitParams(**params), seed, folder / "validated", folder / out)
    return folder / out


def test_parts_mappings_and_counts(tmp_path: Path):
    out = run(tmp_path, ratings(), seed=3)
    parts = read_split(out)
    users, items = pd.read_parquet(out / "users.parquet"), pd.read_parquet(out / "items.parquet")
    facts = json.loads((out / "split.json").read_text())
    assert facts == {
        "n_users": 31,
        "n_items": len(items),
        "n_train": len(parts.train),
        "n_valid": 30,
        "n_test": 30,
        "density": 241 / (31 * len(items)),
        "users_with_one_interaction": 1,
        "dropped": {"rating below 3": 60, "repeated user and item": 0},
        "strategy": "random",
        "valid_drawn": True,
        "seed": 3,
    }
    assert len(parts.train) + 60 == 241
    assert users["user_id"].tolist() == [7, *range(100, 130)]
    assert parts.train.user_degree[0] == 1  # the user with one interaction trains
    assert items["item_id"].tolist() == sorted(items["item_id"])
    pairs = {
        (users["user_id"][user], items["item_id"][item])
        for part in (parts.train, parts.valid, parts.test)
        for user, item in zip(part.users, part.items, strict=True)
    }
    liked = ratings().query("rating >= 3")
    assert pairs == set(zip(liked["user_id"], liked["item_id"], strict=True))
    checks = json.loads((out / "checks.json").read_text())
    assert checks["table"] == "prepared"
    assert all(one["passed"] for one in checks["expectations"])


def test_same_seed_same_bytes_and_another_seed_another_split(tmp_path: Path):
    one, two, other = (run(tmp_path, ratings(), name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()
    assert (one / "train.parquet").read_bytes() != (other / "train.parquet").read_bytes()


def test_temporal_split_tests_the_latest(tmp_path: Path):
    frame = ratings().sample(frac=1, random_state=0)
    out = run(tmp_path, frame, strategy="temporal", threshold=None)
    users, items = pd.read_parquet(out / "users.parquet"), pd.read_parquet(out / "items.parquet")
    test = read_split(out).test
    found = {(users["user_id"][u], items["item_id"][i]) for u, i in zip(test.users, test.items, strict=True)}
    latest = ratings().query("user_id != 7").sort_values("timestamp").groupby("user_id").tail(1)
    assert found == set(zip(latest["user_id"], latest["item_id"], strict=True))


def test_the_sources_own_split(tmp_path: Path):
    frame = ratings().assign(part=np.where(np.arange(301) % 10 < 3, "test", "train"))
    frame.loc[300, "part"] = "train"
    out = run(tmp_path, frame, strategy="given", threshold=None)
    users, items = pd.read_parquet(out / "users.parquet"), pd.read_parquet(out / "items.parquet")
    test = read_split(out).test
    found = {(users["user_id"][u], items["item_id"][i]) for u, i in zip(test.users, test.items, strict=True)}
    given = frame.query("part == 'test'")
    assert found == set(zip(given["user_id"], given["item_id"], strict=True))
    facts = json.loads((out / "split.json").read_text())
    assert (facts["strategy"], facts["n_test"], facts["n_valid"]) == ("given", len(given), 30)
    assert facts["valid_drawn"]


def test_a_given_valid_part_is_not_drawn(tmp_path: Path):
    place = np.arange(301) % 10
    frame = ratings().assign(part=np.select([place < 2, place < 4], ["test", "valid"], "train"))
    frame.loc[300, "part"] = "train"
    facts = json.loads((run(tmp_path, frame, strategy="given", threshold=None) / "split.json").read_text())
    assert (facts["n_valid"], facts["valid_drawn"]) == (60, False)


def test_titles_and_k_core(tmp_path: Path):
    write_table(tmp_path / "validated/items.parquet", pd.DataFrame({"item_id": ["i1"], "title": ["One"]}))
    out = run(tmp_path, ratings(), k_core=3)
    items = pd.read_parquet(out / "items.parquet").set_index("item_id")
    assert items["title"].dropna().to_dict() == {"i1": "One"}
    facts = json.loads((out / "split.json").read_text())
    assert facts["users_with_one_interaction"] == 0
    assert facts["dropped"]["user or item with fewer than 3 interactions"] > 0


SINGLES = pd.DataFrame({"user_id": range(50), "item_id": [f"i{n % 5}" for n in range(50)]})


@pytest.mark.parametrize(
    ("frame", "params", "error", "message"),
    [
        (ratings(), {"threshold": 6}, DataError, "no interaction is left of 301 rows .*lower prepare.threshold"),
        (ratings().drop(columns="rating"), {}, DataError, "prepare.threshold is 3, but the data has no ratings"),
        (
            ratings().drop(columns="timestamp"),
            {"strategy": "temporal"},
            DataError,
            "split.strategy is 'temporal', but the data has no timestamps; set split.strategy: random",
        ),
        (
            ratings(),
            {"strategy": "given"},
            DataError,
            "split.strategy is 'given', but the data comes without a split; set split.strategy: random",
        ),
        (SINGLES, {"threshold": None}, DataError, "part must have train, valid and test rows; users with"),
        (ratings().query("user_id == 100"), {}, DataError, "user must have at least 2 different values, found 1"),
    ],
)
def test_what_cannot_be_split_is_one_line_and_writes_nothing(
    tmp_path: Path, frame: pd.DataFrame, params: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message) as caught:
        run(tmp_path, frame, **params)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["validated"]


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (0.9, 0.1), (0.7, 0.3), (0.3, 0.699), (0.95, 0.9)])
@pytest.mark.parametrize("strategy", ["random", "temporal", "given"])
def test_shares_are_refused_at_the_start_where_the_split_would_refuse_them(strategy: str, valid: float, test: float):
    prepared = prepare(ratings().assign(part=np.where(np.arange(301) % 10 < 3, "test", "train")))
    share = {"strategy": strategy, "valid": valid, "test": test}
    refusal = r"leave nothing to train on; keep their sum below 1"
    if strategy == "given" or valid + test < 1:
        divide(prepared, SplitParams.model_validate(share), seed=0)
        return
    with pytest.raises(ConfigError, match=refusal):
        divide(prepared, SplitParams.model_construct(**share), seed=0)
    with pytest.raises(ValidationError, match=refusal):
        SplitParams.model_validate(share)
