"""A condensed dataset on disk: it comes back as it was, or says what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation.base import make_synthetic
from dconrec_core.condensation.baselines import BaselineConfig
from dconrec_core.condensation.card import render_card
from dconrec_core.condensation.dataset import dataset_sha256, read_card, read_condensed, write_condensed
from dconrec_core.errors import BudgetError, DataError
from dconrec_core.types import Budget, CondensedDataset, Interactions, Split
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
    same = ("budget", "condenser", "config", "seed", "source", "n_source", "n_users_source", "inductive", "notes")
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
    assert (card.n_users, card.n_users_source, card.n_items, card.ratio) == (60, 60, 40, 0.5)
    assert (card.schema_version, card.inductive, card.synthetic) == (2, False, False)
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
    found |= {"users": np.arange(3, dtype=np.int32)}  # type: ignore[dict-item]
    exec(card.how_to_use.replace("config_class()", "config_class(epochs=2)"), found)  # noqa: S102
    assert found["scores"].shape == (3, 40)  # type: ignore[attr-defined]
    assert card.how_to_use in page


def test_page_of_the_card_tells_notes_to_people(folder: Path) -> None:
    notes = {"reader": {"smoothing": 0.1 + 0.2}, "chosen_settings": {}, "tried": {"a": 0.25, "b (n 3)": 0.1}}
    card = read_card(folder).model_copy(update={"notes": notes, "config": {"steps": None, "judge": "bprmf"}})
    page = render_card(card)
    assert "\n- reader: smoothing 0.3\n- chosen_settings: none\n" in page
    assert "| a | 0.2500 |\n| b (n 3) | 0.1000 |\n" in page
    assert "| `steps` | – |\n" in page


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
        (
            rewrite(lambda card: card.update(schema_version=1)),
            DataError,
            r"card\.json has schema version 1, 2 is read here; condense again$",
        ),
        (rewrite(lambda card: card.pop("schema_version")), DataError, r"card\.json has schema version None"),
        (rewrite(lambda card: card.update(n_users_source=3)), DataError, r"has 60 users, its source 3; .* inductive"),
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


@pytest.fixture
def made_up(planted_split: Split) -> CondensedDataset:
    """Three synthetic users."""
    histories = Interactions.of([0, 0, 1, 1, 1, 2], [0, 7, 0, 1, 39, 2], 3, 40)
    keep_prob = np.linspace(0.5, 1, 6)
    return make_synthetic(
        histories, planted_split.train, Budget(8), condenser="mine", config=BaselineConfig(), seed=5,
        keep_prob=keep_prob, notes={"steps": 3},
    )  # fmt: skip


def test_synthetic_users_come_back_as_they_were_and_need_no_real_ones(
    made_up: CondensedDataset, tmp_path: Path
) -> None:
    card = write_condensed(tmp_path / "c", made_up, dataset="planted", items=ITEMS)
    read = read_condensed(tmp_path / "c")
    assert read.interactions.fingerprint() == made_up.interactions.fingerprint()
    assert (read.inductive, read.synthetic, read.n_users_source) == (True, True, 60)
    assert not read.observed.any()
    assert read.keep_prob.tobytes() == made_up.keep_prob.tobytes()
    assert (card.inductive, card.synthetic, card.n_users, card.n_users_source, card.n_items) == (True, True, 3, 60, 40)
    assert card.sha256 == dataset_sha256(tmp_path / "c")
    again = write_condensed(tmp_path / "again", made_up, dataset="planted", items=ITEMS, users=USERS)
    assert again == card  # whatever real users there are
    for file in sorted((tmp_path / "c").iterdir()):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_synthetic_users_are_named_as_what_they_are(made_up: CondensedDataset, tmp_path: Path) -> None:
    write_condensed(tmp_path / "c", made_up, dataset="planted", items=ITEMS)
    users = pd.read_parquet(tmp_path / "c/users.parquet")
    assert users["user"].tolist() == [0, 1, 2]
    assert users["user_id"].tolist() == ["synthetic-0", "synthetic-1", "synthetic-2"]
    assert users["synthetic"].tolist() == [True] * 3
    table = pd.read_parquet(tmp_path / "c/interactions.parquet")
    assert table["user_id"].tolist() == [f"synthetic-{user}" for user in made_up.interactions.users]
    assert table["item_id"].tolist() == [100 + item for item in made_up.interactions.items]


def test_sampled_users_are_no_synthetic_ones(planted_split: Split, tmp_path: Path) -> None:
    sampled = condensed("random-users", planted_pool(planted_split), planted_split, 0.25)
    card = write_condensed(tmp_path / "c", sampled, dataset="planted", items=ITEMS)
    assert (card.inductive, card.synthetic, card.observed_share, card.n_users) == (True, False, 1.0, 15)
    users = pd.read_parquet(tmp_path / "c/users.parquet")
    assert users["user_id"].tolist() == [f"sampled-{user}" for user in range(15)]
    assert not users["synthetic"].any()
    assert not read_condensed(tmp_path / "c").synthetic
    assert "the histories of 15 users drawn from the source, renumbered" in (tmp_path / "c/card.md").read_text()


def test_card_tells_people_how_to_use_synthetic_users(made_up: CondensedDataset, tmp_path: Path) -> None:
    card = write_condensed(tmp_path / "c", made_up, dataset="planted", items=ITEMS)
    page = (tmp_path / "c/card.md").read_text()
    assert "6 interactions in place of 480 (budget 8): the histories of 3 synthetic users, made up" in page
    assert "real users are folded in from their own histories with `model.fold_in(histories)`" in page
    assert card.how_to_load in page
    assert card.how_to_use in page
    assert "model.fold_in(history)(users)" in card.how_to_use
    found = {"folder": tmp_path / "c", "users": np.array([0, 1]), "items": np.array([7, 39]), "n_users": 2}
    exec(f"{card.how_to_load}\n{card.how_to_use}", found)  # noqa: S102
    assert found["scores"].shape == (2, 40)  # type: ignore[union-attr]


def test_a_set_over_real_users_needs_their_ids(made: CondensedDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a set of 'dconrec' is over the source's users; pass their table as users"):
        write_condensed(tmp_path / "c", made, dataset="planted", items=ITEMS)
    assert not list(tmp_path.iterdir())


def test_failure_leaves_the_old_set(folder: Path, made: CondensedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dataset_sha256(folder)
    monkeypatch.setattr("dconrec_core.condensation.dataset.render_card", lambda card: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_condensed(folder, made, dataset="planted", users=USERS, items=ITEMS)
    assert dataset_sha256(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["c"]
