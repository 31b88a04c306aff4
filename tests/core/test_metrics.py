"""Metrics in hand-worked fractions."""

from math import log2

import numpy as np
import pytest

from dconrec_core.errors import DataError
from dconrec_core.evaluation import RankingTask
from dconrec_core.metrics import ndcg_at, recall_at
from dconrec_core.ranking import ScoreFunction, top_items
from dconrec_core.types import Interactions, Split


def test_recall_hand_worked() -> None:
    hits = np.array([[True, False, True], [False, False, False]])
    assert recall_at(hits, np.array([4, 1]), 3).tolist() == [2 / 4, 0]
    assert recall_at(hits, np.array([4, 1]), 1).tolist() == [1 / 4, 0]


def test_ndcg_hand_worked() -> None:
    hits = np.array([[True, False, True], [False, True, False], [True, True, True]])
    got = ndcg_at(hits, np.array([2, 1, 5]), 3)
    first = (1 + 1 / log2(4)) / (1 + 1 / log2(3))
    assert got.tolist() == pytest.approx([first, 1 / log2(3), 1])


def task(seen: list[tuple[int, int]], target: list[tuple[int, int]], n_users: int, n_items: int) -> RankingTask:
    return RankingTask(
        *(Interactions.of([u for u, _ in pairs], [i for _, i in pairs], n_users, n_items) for pairs in (seen, target))
    )


def test_seen_items_do_not_take_places_and_users_without_a_target_do_not_count() -> None:
    ranking = task([(0, 0), (2, 1)], [(0, 2), (1, 0)], 3, 4)
    scores = np.array([[9, 8, 7, 6], [1, 2, 3, 4], [0, 0, 0, 0]], dtype=np.float32)
    # user 0: 1, 2, 3 after masking 0, so the target is second; user 1: 3, 2, 1, 0, so it is fourth; user 2 left out
    got = ranking.measure(lambda users: scores[users], (1, 2, 4))
    assert got["recall@1"] == 0
    assert got["recall@2"] == 1 / 2
    assert got["recall@4"] == 1
    assert got["ndcg@4"] == pytest.approx((1 / log2(3) + 1 / log2(5)) / 2)
    assert ranking.users.tolist() == [0, 1]


def test_ties_go_to_the_lower_id_and_short_lists_end_in_nothing() -> None:
    ranking = task([(0, 1)], [(0, 3)], 1, 4)
    assert ranking.rank(lambda users: np.zeros((len(users), 4), dtype=np.float32), 5).tolist() == [[0, 2, 3, -1, -1]]
    assert ranking.measure(lambda users: np.zeros((1, 4), dtype=np.float32), (5,))["recall@5"] == 1


def test_test_masks_train_and_valid_and_valid_masks_train(planted_split: Split) -> None:
    test, valid = RankingTask.test(planted_split), RankingTask.valid(planted_split.train, planted_split.valid)
    assert len(test.seen) == len(planted_split.train) + len(planted_split.valid)
    assert valid.seen is planted_split.train
    assert test.seen.contains(planted_split.valid).all()


def test_inductive_tasks_fold_in_from_train_and_mask_and_find_as_ever(planted_split: Split) -> None:
    pairs = (
        (RankingTask.valid(planted_split.train, planted_split.valid, inductive=True), RankingTask.valid(
            planted_split.train, planted_split.valid)),
        (RankingTask.test(planted_split, inductive=True), RankingTask.test(planted_split)),
    )  # fmt: skip
    for inductive, transductive in pairs:
        assert inductive.histories is planted_split.train
        assert transductive.histories is None
        for part in ("seen", "target"):
            assert getattr(inductive, part).fingerprint() == getattr(transductive, part).fingerprint()


def test_task_asks_a_model_in_its_own_way() -> None:
    class Model:
        def score(self, users: np.ndarray) -> np.ndarray:
            return np.full((len(users), 3), 1, dtype=np.float32)

        def fold_in(self, histories: Interactions) -> ScoreFunction:
            return lambda users: np.full((len(users), 3), len(histories), dtype=np.float32)

    ranking = task([(0, 0)], [(0, 1)], 1, 3)
    by_history = RankingTask(ranking.seen, ranking.target, Interactions.of([0, 0], [0, 2], 1, 3))
    users = np.zeros(1, dtype=np.int32)
    assert ranking.score_of(Model())(users).tolist() == [[1, 1, 1]]
    assert by_history.score_of(Model())(users).tolist() == [[2, 2, 2]]


def test_training_set_must_fit_the_task() -> None:
    ranking = task([(0, 0)], [(0, 1)], 2, 3)
    by_history = RankingTask(ranking.seen, ranking.target, ranking.seen)
    for each in (ranking, by_history):
        each.check(Interactions.of([0], [0], 2, 3))
        with pytest.raises(DataError, match="the training set has 4 items, the ranking task 3; both must be over one"):
            each.check(Interactions.of([0], [0], 2, 4))
    by_history.check(Interactions.of([0], [0], 6, 3))
    message = r"the training set has 6 users, the ranking task 2; .* make the task inductive"
    with pytest.raises(DataError, match=message):
        ranking.check(Interactions.of([0], [0], 6, 3))


@pytest.mark.parametrize("cells", [1, 100, 10**9])
def test_blocks_of_any_size_rank_alike(cells: int, planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    users = np.arange(60, dtype=np.int32)
    expected = top_items(lambda ids: scores[ids], planted_split.train, users, 7)
    asked: list[int] = []

    def score(ids: np.ndarray) -> np.ndarray:
        asked.append(len(ids))
        return np.asarray(scores[ids])

    monkeypatch.setattr("dconrec_core.ranking.BLOCK_CELLS", cells)
    assert top_items(score, planted_split.train, users, 7).tolist() == expected.tolist()
    assert max(asked) == min(60, max(1, cells // 40))


def test_nobody_to_rank_for_is_zero_and_not_nan() -> None:
    ranking = task([(0, 0)], [], 2, 3)
    assert set(ranking.measure(lambda users: np.zeros((len(users), 3), dtype=np.float32)).values()) == {0.0}


def test_catalogues_must_agree() -> None:
    with pytest.raises(Exception, match="different catalogues"):
        RankingTask(Interactions.of([0], [0], 1, 2), Interactions.of([0], [0], 1, 3))
    one = Interactions.of([0], [0], 1, 2)
    with pytest.raises(DataError, match="seen interactions and histories have different catalogues"):
        RankingTask(one, one, Interactions.of([0], [0], 2, 2))
