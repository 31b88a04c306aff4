"""The candidate pool: every training interaction, and what the teacher would recommend next."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.augment import build_pool, n_pseudo
from dconrec_core.data.io import read_pool
from dconrec_core.errors import ConfigError, DataError, TrainingError
from dconrec_core.models.store import load_model
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import CandidatePool, FloatArray, IntArray, Interactions, Split
from tasks.params import AugmentParams
from tasks.workspace import Workspace
from tests.tasks.small_stages import contents, run_augment, run_pretrain, write_split_folder


@pytest.fixture
def files(tmp_path: Path, planted_split: Split) -> Workspace:
    """A teacher, and neither valid nor test beside the training set."""
    files = Workspace(tmp_path)
    write_split_folder(files, planted_split, test=False)
    run_pretrain(files)
    (files.split / "valid.parquet").unlink()
    return files


def pool_of(train: Interactions, table: FloatArray, pseudo_ratio: float, min_pseudo: int) -> CandidatePool:
    def score(users: IntArray) -> FloatArray:
        return table[users]

    return build_pool(score, train, pseudo_ratio, min_pseudo, RunOptions())


def test_pool_is_train_and_the_teachers_best_unseen_from_train_alone(files: Workspace, planted_split: Split) -> None:
    train = planted_split.train
    run_augment(files)
    pool = read_pool(files.pool)
    table = load_model(files.teacher).score(np.arange(60, dtype=np.int32))
    assert pool.train.fingerprint() == train.fingerprint()
    np.testing.assert_array_equal(pool.score, table[pool.interactions.users, pool.interactions.items])
    for user in range(60):
        pseudo = pool.interactions.items[(pool.interactions.users == user) & ~pool.observed]
        unseen = np.setdiff1d(np.arange(40), train.items[train.users == user])
        best = unseen[np.argsort(-table[user, unseen], kind="stable")][: max(5, train.user_degree[user] // 2)]
        assert pseudo.tolist() == sorted(best)


def test_pseudo_interactions_carry_the_planted_taste(files: Workspace) -> None:
    run_augment(files)
    pool = read_pool(files.pool)
    alike = pool.interactions.users % 2 == pool.interactions.items % 2
    assert alike[~pool.observed].mean() > 0.95


def test_counts_beside_the_pool_are_those_of_the_pool(files: Workspace, planted_split: Split) -> None:
    run_augment(files)
    pool, counts = read_pool(files.pool), json.loads((files.pool / "pool.json").read_text())
    per_user = np.bincount(pool.interactions.users[~pool.observed], minlength=60)
    assert counts == {
        "n_candidates": len(pool),
        "n_observed": len(planted_split.train),
        "n_pseudo": len(pool) - len(planted_split.train),
        "pseudo_per_user": {"min": per_user.min(), "mean": pytest.approx(per_user.mean()), "max": per_user.max()},
        "n_pseudo_items": len(set(pool.interactions.items[~pool.observed].tolist())),
    }


def test_repeat_gives_the_same_bytes(files: Workspace) -> None:
    run_augment(files)
    first = contents(files.pool)
    run_augment(files)
    assert contents(files.pool) == first


def test_no_pseudo_interactions_where_none_are_wanted(files: Workspace, planted_split: Split) -> None:
    run_augment(files, AugmentParams(pseudo_ratio=0, min_pseudo=0))
    pool = read_pool(files.pool)
    assert pool.observed.all()
    assert pool.interactions.fingerprint() == planted_split.train.fingerprint()


def test_without_a_teacher_the_missing_stage_is_named(files: Workspace) -> None:
    (files.teacher / "model.json").unlink()
    with pytest.raises(DataError, match=r"model.json does not exist; run the pretrain stage"):
        run_augment(files)
    assert not files.pool.exists()


@given(st.integers(0, 1000), st.floats(0, 2), st.integers(0, 8))
def test_every_pool_keeps_train_whole_and_adds_only_unseen_items(seed: int, ratio: float, least: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(48, size=int(rng.integers(1, 40)), replace=False)
    train = Interactions.of(cells // 8, cells % 8, 6, 8)
    table = rng.integers(-3, 3, size=(6, 8)).astype(np.float32)
    pool = pool_of(train, table, ratio, least)
    assert pool.train.fingerprint() == train.fingerprint()
    pseudo = pool.interactions.take(~pool.observed)
    assert not train.contains(pseudo).any()
    wanted = n_pseudo(train, ratio, least)
    np.testing.assert_array_equal(pseudo.user_degree, wanted)
    assert (wanted[train.user_degree == 0] == 0).all()
    known = train.user_degree > 0
    assert (wanted[known] >= np.minimum(least, 8 - train.user_degree[known])).all()
    np.testing.assert_array_equal(pool.score, table[pool.interactions.users, pool.interactions.items])


@pytest.mark.parametrize(
    ("degree", "pseudo_ratio", "min_pseudo", "expected"),
    [(100, 0.3, 5, 30), (100, 0.29, 5, 29), (100, 0.299, 5, 29), (10, 0.3, 5, 5), (197, 0.3, 5, 3), (0, 0.3, 5, 0)],
)
def test_numbers_of_pseudo_interactions_hand_worked(
    degree: int, pseudo_ratio: float, min_pseudo: int, expected: int
) -> None:
    """Rounded down, at least so many, at most the unseen of 200 items; 0.29 · 100 is a hair below 29 in binary."""
    train = Interactions.of(np.zeros(degree), np.arange(degree), 1, 200)
    assert n_pseudo(train, pseudo_ratio, min_pseudo).tolist() == [expected]


def test_users_are_scored_in_blocks_and_the_blocks_do_not_show(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    whole = pool_of(planted_split.train, table, 0.5, 5)
    asked: list[int] = []

    def score(users: IntArray) -> FloatArray:
        asked.append(len(users))
        return table[users]

    heard: list[EpochEvent] = []
    monkeypatch.setattr("dconrec_core.condensation.augment.BLOCK_CELLS", 7 * 40)
    parts = build_pool(score, planted_split.train, 0.5, 5, RunOptions(label="pool", on_epoch=heard.append))
    assert asked == [7] * 8 + [4]
    assert heard == [EpochEvent("pool", number, 9) for number in range(1, 10)]
    assert parts.interactions.fingerprint() == whole.interactions.fingerprint()
    assert parts.score.tobytes() == whole.score.tobytes()


@pytest.mark.parametrize(("pseudo_ratio", "min_pseudo"), [(-0.1, 5), (0.3, -1)])
def test_negative_numbers_are_refused(pseudo_ratio: float, min_pseudo: int, planted_split: Split) -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        pool_of(planted_split.train, np.zeros((60, 40), dtype=np.float32), pseudo_ratio, min_pseudo)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_name_the_teachers_settings(bad: float, planted_split: Split) -> None:
    table = np.zeros((60, 40), dtype=np.float32)
    table[7] = bad
    message = rf"the teacher's score of item 0 for user 7 is {bad}; change teacher\.config"
    with pytest.raises(TrainingError, match=message):
        pool_of(planted_split.train, table, 0.3, 5)


def test_a_teacher_may_keep_items_out(planted_split: Split) -> None:
    table = np.zeros((60, 40), dtype=np.float32)
    kept_out = ~planted_split.train.csr().toarray().astype(bool)
    kept_out[:, 20:] = False
    table[kept_out] = -np.inf
    pool = pool_of(planted_split.train, table, 0.0, 3)
    assert (pool.interactions.items[~pool.observed] >= 20).all()
