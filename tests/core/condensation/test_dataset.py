"""A condensed dataset on disk: it comes back as it was, or says what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation.dataset import dataset_sha256, read_card, read_condensed, write_condensed
from dconrec_core.errors import BudgetError, DataError
from dconrec_core.types import CondensedDataset, Split
from tests.contracts import condensed, planted_pool

USERS = pd.DataFrame({"user": np.arange(60, dtype=np.int32), "user_id": [f"u{n}" for n in range(60)]})
ITEMS = pd.DataFrame({"item": np.arange(40, dtype=np.int32), "item_id": 100 + np.arange(40), "title": ["<b>"] * 40})


@pytest.fixture
def made(planted_split: Split) -> CondensedDataset:
    return condensed("dconrec", planted_pool(planted_split), planted_split, 0.5)


@pytest.fixture
def folder(made: CondensedDataset, tmp_path: Path) -> Path:
    write_condensed(tmp_path / "c", made, dataset="planted", users=USERS, items=ITEMS)
    return tmp_path / "c"


def test_it_comes_back_as_it_was(folder: Path, made: CondensedDataset) -> None:
    read = read_condensed(folder)
    assert read.interactions.fingerprint() == made.interactions.fingerprint()
    assert read.observed.tolist() == made.observed.tolist()
    assert read.keep_prob.tobytes() == made.keep_prob.tobytes()
    same = ("budget", "condenser", "config", "seed", "source", "n_source", "notes")
    assert [getattr(read, name) for name in same] == [getattr(made, name) for name in same]


def test_it_speaks_the_users_own_ids(folder: Path, made: CondensedDataset) -> None:
    table = pd.read_parquet(folder / "interactions.parquet")
    assert table["user_id"].tolist() == [f"u{user}" for user in made.interactions.users]
    assert table["item_id"].tolist() == [100 + item for item in made.interactions.items]
    assert not pd.read_parquet(folder / "users.parquet")["synthetic"].any()
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "items.parquet"), ITEMS)


def test_card_tells_what_the_set_is(folder: Path, made: CondensedDataset) -> None:
    card = read_card(folder)
    assert card.source_fingerprint == made.source
    assert (card.n_interactions, card.n_source, card.budget) == (240, 480, 240)
    assert (card.n_users, card.n_items, card.ratio) == (60, 40, 0.5)
    assert card.observed_share == pytest.approx(made.observed.mean())
    assert (card.dataset, card.condenser, card.seed) == ("planted", "dconrec", 0)
    assert card.versions.keys() == {"dconrec", "python", "numpy", "torch", "pyarrow"}
    found: dict[str, CondensedDataset] = {"folder": folder}  # type: ignore[dict-item]
    exec(card.how_to_load, found)  # noqa: S102
    assert found["condensed"].interactions.fingerprint() == made.interactions.fingerprint()
    page = (folder / "card.md").read_text()
    assert page.startswith(
        "# planted, condensed by `dconrec` to 50.00%\n\n240 interactions in place of 480 (budget 240)"
    )
    assert "| `outer_epochs` | 6 |" in page
    assert card.how_to_load in page


def test_same_set_same_bytes_and_identity(folder: Path, made: CondensedDataset, tmp_path: Path) -> None:
    other = tmp_path / "again"
    card = write_condensed(other, made, dataset="planted", users=USERS, items=ITEMS)
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (other / file.name).read_bytes()
    assert card.sha256 == dataset_sha256(folder) == read_card(folder).sha256
    assert card.observed_share + card.pseudo_share == pytest.approx(1)
    assert card.n_interactions == len(made) <= card.budget
    assert card.sha256 in (folder / "card.md").read_text()


def rewrite(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        change(card)
        (folder / "card.json").write_text(json.dumps(card))

    return apply


def alter_table(folder: Path) -> None:
    table = pd.read_parquet(folder / "interactions.parquet")
    table.loc[0, "keep_prob"] = 0
    table.to_parquet(folder / "interactions.parquet")


def drop_column(folder: Path) -> None:
    pd.read_parquet(folder / "interactions.parquet").drop(columns="observed").to_parquet(
        folder / "interactions.parquet"
    )
    rewrite(lambda card: card.update(sha256=dataset_sha256(folder)))(folder)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (alter_table, DataError, r"c has SHA-256 .*…, its card says .*…; restore it with dvc checkout"),
        (lambda folder: (folder / "items.parquet").unlink(), DataError, r"items\.parquet does not exist"),
        (
            lambda folder: (folder / "card.json").unlink(),
            DataError,
            r"card\.json does not exist; .* is not a condensed",
        ),
        (lambda folder: (folder / "card.json").write_text("{"), DataError, r"card\.json is not JSON"),
        (rewrite(lambda card: card.pop("ratio")), DataError, r"card\.json\.ratio is missing; add it"),
        (rewrite(lambda card: card.update(ratoi=1)), DataError, r"ratoi is not a setting; did you mean 'ratio'"),
        (rewrite(lambda card: card.update(schema_version=2)), DataError, r"schema_version is 2: input should be 1"),
        (
            rewrite(lambda card: card.update(budget=3)),
            BudgetError,
            r"condensed set has \d+ interactions, its budget is 3",
        ),
        (drop_column, DataError, r"interactions\.parquet has no column 'observed'"),
    ],
)
def test_what_is_wrong_is_said(
    folder: Path, spoil: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    spoil(folder)
    with pytest.raises(error, match=message):
        read_condensed(folder)


def test_failure_leaves_the_old_set(folder: Path, made: CondensedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dataset_sha256(folder)
    monkeypatch.setattr("dconrec_core.condensation.dataset.render_card", lambda card: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_condensed(folder, made, dataset="planted", users=USERS, items=ITEMS)
    assert dataset_sha256(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["c"]
