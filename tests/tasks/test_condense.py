"""The condensed dataset: within its budget, loadable, repeatable, and the same whatever the test split holds."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.baselines import BaselineConfig, RandomUsers
from dconrec_core.condensation.dataset import dataset_sha256, read_card, read_condensed
from dconrec_core.data.io import read_pool, write_interactions
from dconrec_core.errors import BudgetError, ConfigError, DConRecError
from dconrec_core.options import EpochEvent
from dconrec_core.registry import Entry
from dconrec_core.types import Interactions, Split
from tasks.condense import HISTORY_COLUMNS
from tasks.params import CondenseParams
from tasks.workspace import Workspace
from tests.tasks.small_stages import (
    CONDENSE,
    OPTIONS,
    SEARCH,
    condense_from_split,
    contents,
    run_augment,
    run_condense,
    run_pretrain,
    write_split_folder,
)


@pytest.fixture
def files(tmp_path: Path, planted_split: Split) -> Workspace:
    """Everything before the condense stage."""
    files = Workspace(tmp_path)
    write_split_folder(files, planted_split, test=False)
    run_pretrain(files)
    run_augment(files)
    return files


def other_test(split: Split) -> Interactions:
    """As many test interactions as there are, of other users with other items."""
    return Interactions.of(59 - split.test.users, (split.test.items + 1) % 40, 60, 40)


def test_condensed_dataset_is_saved_and_loads_within_its_budget(files: Workspace, planted_split: Split) -> None:
    """The reference never saved it, and its 25 % were 47 %."""
    run_condense(files)
    condensed, pool = read_condensed(files.condensed), read_pool(files.pool)
    assert len(condensed) == len(planted_split.train) // 4
    assert pool.interactions.contains(condensed.interactions).all()
    np.testing.assert_array_equal(condensed.observed, planted_split.train.contains(condensed.interactions))
    assert condensed.source == planted_split.train.fingerprint()
    card = read_card(files.condensed)
    assert (card.dataset, card.condenser, card.budget) == ("planted", "dconrec", len(planted_split.train) // 4)
    assert card.ratio == 0.25
    assert card.config["outer_epochs"] == SEARCH["outer_epochs"]


def test_table_speaks_the_ids_of_the_source(files: Workspace) -> None:
    run_condense(files)
    table = pd.read_parquet(files.condensed / "interactions.parquet")
    assert (table["user_id"] == 1000 + table["user"]).all()
    assert (table["item_id"] == "item-" + table["item"].astype(str)).all()


def test_history_tells_of_every_outer_epoch(files: Workspace) -> None:
    heard: list[EpochEvent] = []
    run_condense(files, options=replace(OPTIONS, on_epoch=heard.append))
    history = pd.read_csv(files.search_history)
    assert history["outer_epoch"].tolist() == [1, 2, 3, 4]
    assert (history["expected_size"] <= 120 + 1e-6).all()
    assert (history[["valid_loss", "mapping_norm_sq"]] > 0).all(axis=None)
    assert history["valid_ndcg@10"].notna().tolist() == [False, True, False, True]
    outer = [event for event in heard if event.label == "condense dconrec"]
    assert [event.metrics["valid_loss"] for event in outer] == pytest.approx(history["valid_loss"].tolist())
    assert {event.label for event in heard} == {f"condense dconrec{part}" for part in ("", ", rules", ", stand-in")}


def test_condenser_without_a_search_leaves_an_empty_history(files: Workspace) -> None:
    run_condense(files, CondenseParams(name="teacher-top", ratio=0.25))
    history = pd.read_csv(files.search_history)
    assert history.empty
    assert "valid_loss" in history.columns


def test_history_holds_whatever_a_condenser_tells_of(files: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Talkative(RandomUsers):
        def condense(self, pool, valid, budget, options):  # type: ignore[no-untyped-def]
            options.on_epoch(EpochEvent(options.label, 1, 2, {"gap": 0.5, "valid_loss": 0.25}))
            options.on_epoch(EpochEvent(options.label, 2, 2, {"gap": 0.25, "valid_recall": 0.1}))
            return super().condense(pool, valid, budget, options)

    monkeypatch.setitem(CONDENSERS, "talkative", Entry(BaselineConfig, Talkative))
    written = []
    for _ in range(2):
        run_condense(files, CondenseParams(name="talkative", ratio=0.25))
        written.append(files.search_history.read_bytes())
    history = pd.read_csv(files.search_history)
    assert history.columns.tolist() == [*HISTORY_COLUMNS, "gap", "valid_recall"]
    assert history["outer_epoch"].tolist() == [1, 2]
    assert history["gap"].tolist() == [0.5, 0.25]
    assert history["valid_recall"].isna().tolist() == [True, False]
    assert written[0] == written[1]


def test_a_set_with_users_of_its_own_is_checked_and_written(files: Workspace) -> None:
    run_condense(files, CondenseParams(name="random-users", ratio=0.25))
    condensed, card = read_condensed(files.condensed), read_card(files.condensed)
    assert (condensed.inductive, len(condensed)) == (True, 120)
    assert (card.n_users, card.n_users_source) == (15, 60)
    table = pd.read_parquet(files.condensed / "interactions.parquet")
    assert table["user_id"].tolist() == [f"sampled-{user}" for user in condensed.interactions.users]
    assert (table["item_id"] == "item-" + table["item"].astype(str)).all()
    checks = json.loads(files.condensed_checks.read_text())
    assert "must use every id of the set" in [one["rule"] for one in checks["expectations"] if one["passed"]]


def test_checks_pass_and_know_the_table(files: Workspace) -> None:
    run_condense(files)
    checks = json.loads(files.condensed_checks.read_text())
    assert (checks["table"], checks["n_rows"], checks["passed"]) == ("condensed", 120, True)
    assert all(expectation["passed"] for expectation in checks["expectations"])


@pytest.mark.parametrize("name", ["dconrec", "teacher-top", "random-users"])
def test_nothing_before_evaluation_depends_on_test(name: str, tmp_path: Path, planted_split: Split) -> None:
    """Teacher, pool and condensed dataset with the test split, with another one and without any."""
    params = CondenseParams(name=name, ratio=0.25, config=SEARCH if name == "dconrec" else {})
    written = {}
    for case in ("as it is", "another", "none"):
        files = Workspace(tmp_path / case)
        write_split_folder(files, planted_split, test=case != "none")
        if case == "another":
            write_interactions(files.split / "test.parquet", other_test(planted_split))
        run_pretrain(files)
        run_augment(files)
        run_condense(files, params)
        (files.split / "test.parquet").unlink(missing_ok=True)
        written[case] = (dataset_sha256(files.condensed), contents(files.root))
    assert written["as it is"] == written["another"] == written["none"]


def test_valid_does_matter(files: Workspace, planted_split: Split) -> None:
    """The other half of the test above: what the search may see, it uses."""
    params = CONDENSE.model_copy(update={"config": {**SEARCH, "start": "constant", "learning_rate": 0.5}})
    run_condense(files, params)
    before = dataset_sha256(files.condensed)
    write_interactions(files.split / "valid.parquet", planted_split.test)
    run_condense(files, params)
    assert dataset_sha256(files.condensed) != before


def test_two_runs_write_the_same_bytes(tmp_path: Path, planted_split: Split) -> None:
    written = []
    for name in ("first", "second"):
        files = Workspace(tmp_path / name)
        write_split_folder(files, planted_split)
        condense_from_split(files)
        written.append(contents(files.root))
    assert written[0] == written[1]
    assert {"results/condense.csv", "data/condensed/card.json", "data/pool/pool.parquet"} <= written[0].keys()


def test_another_seed_is_another_search(files: Workspace) -> None:
    run_condense(files)
    first = files.search_history.read_bytes()
    run_condense(files, options=replace(OPTIONS, seed=1))
    assert files.search_history.read_bytes() != first


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"ratio": 0}, BudgetError, "condense.ratio is 0.0; it must be above 0 and at most 1"),
        ({"ratio": 1.5}, BudgetError, "condense.ratio is 1.5"),
        ({"ratio": 0.0001}, BudgetError, "a budget of 0 of 480 training interactions; the smallest ratio"),
        ({"name": "dconrek"}, ConfigError, "condense.name is 'dconrek'; did you mean 'dconrec'"),
        ({"config": {"epochs": 3}}, ConfigError, "condense.config.epochs is not a setting"),
        ({"config": {"tail_threshold": 10}}, BudgetError, "lower condense.config.tail_threshold"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    changed: dict[str, object], error: type[DConRecError], message: str, files: Workspace
) -> None:
    with pytest.raises(error, match=message):
        run_condense(files, CondenseParams(**{**CONDENSE.model_dump(), **changed}))
    for path in (files.condensed, files.search_history, files.condensed_checks, files.timing("condense")):
        assert not path.exists()


def test_device_that_is_not_there_is_refused_before_anything_is_written(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = contents(files.root)
    with pytest.raises(ConfigError, match=r"device is 'cuda', but torch .* sees no CUDA device"):
        run_condense(files, options=replace(OPTIONS, device="cuda"))
    assert contents(files.root) == before


def test_full_disk_names_the_file_and_leaves_the_previous_dataset(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_condense(files)
    before = contents(files.condensed)

    def fail(table: object, where: Path, **settings: object) -> None:
        where.write_bytes(b"PAR1 and then no more")
        raise OSError(errno.ENOSPC, "error writing bytes to file")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run_condense(files, options=replace(OPTIONS, seed=1))
    assert Path(caught.value.filename).name == "interactions.parquet"
    assert contents(files.condensed) == before
    assert not [path for path in files.root.rglob("*") if ".tmp-" in path.name]
