"""EASE: which penalty is kept, and what its scores are made of; its weights are in ``test_engines``."""

import numpy as np
import pytest

from dconrec_core.errors import ConfigError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.ease import EASE, EASEConfig
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Interactions, Split

CPU = RunOptions(device="cpu")
PENALTIES = [0.001, 1.0, 30.0, 100_000.0]


def dense_scores(train: Interactions, penalty: float) -> np.ndarray:
    """Readable version, float64."""
    rows = train.csr().toarray().astype(np.float64)
    inverse = np.linalg.inv(rows.T @ rows + penalty * np.eye(train.n_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(rows @ weights)


@pytest.mark.parametrize("penalty", PENALTIES[1:])
def test_scores_are_the_histories_times_the_dense_solution(penalty: float, planted: Interactions) -> None:
    model = EASE(EASEConfig(regularization=[penalty]))
    model.fit(planted, None, CPU)
    got = model.score(np.arange(60, dtype=np.int32))
    np.testing.assert_allclose(got, dense_scores(planted, penalty), atol=1e-5)


def test_penalty_that_ranks_valid_best_is_kept(planted_split: Split) -> None:
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    quality = {}
    for penalty in PENALTIES:
        alone = EASE(EASEConfig(regularization=[penalty]))
        alone.fit(planted_split.train, None, CPU)
        quality[penalty] = valid.measure(alone.score, (10,))["ndcg@10"]
    assert len(set(quality.values())) > 1
    model = EASE(EASEConfig(regularization=PENALTIES))
    history = model.fit(planted_split.train, valid, CPU)
    best = max(PENALTIES, key=lambda penalty: quality[penalty])
    assert PENALTIES[history.best_epoch - 1] == best
    assert history.best_valid == quality[best] == valid.measure(model.score, (10,))["ndcg@10"]
    assert [(row["regularization"], row["valid_ndcg@10"]) for row in history.rows] == list(quality.items())


def test_equal_penalties_leave_the_first(planted_split: Split) -> None:
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    assert EASE(EASEConfig(regularization=[30.0, 30.0])).fit(planted_split.train, valid, CPU).best_epoch == 1


def test_without_valid_the_first_penalty_is_taken_and_the_others_not_tried(planted: Interactions) -> None:
    heard: list[EpochEvent] = []
    model, first = EASE(EASEConfig(regularization=[30.0, 1.0])), EASE(EASEConfig(regularization=[30.0]))
    model.fit(planted, None, RunOptions(device="cpu", on_epoch=heard.append))
    first.fit(planted, None, CPU)
    assert [event.total for event in heard] == [1]
    assert model.state()["weights"].tobytes() == first.state()["weights"].tobytes()


def test_an_item_never_speaks_for_itself(planted: Interactions) -> None:
    model = EASE(EASEConfig(regularization=[30.0]))
    model.fit(Interactions.of([0], [3], 2, 6), None, CPU)
    np.testing.assert_allclose(model.score(np.array([0], dtype=np.int32)), 0, atol=1e-7)
    model.fit(planted, None, CPU)
    assert (np.diag(model.state()["weights"]) == 0).all()


def test_no_penalty_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher.config.regularization is \[\]"):
        MODELS["ease"].configure("teacher.config", {"regularization": []})


@pytest.mark.parametrize("penalty", [0.0, -1.0])
def test_penalty_that_is_not_positive_is_refused(penalty: float) -> None:
    with pytest.raises(ConfigError, match=r"teacher.config.regularization"):
        MODELS["ease"].configure("teacher.config", {"regularization": [penalty]})


def test_penalty_that_is_lost_in_rounding_is_named() -> None:
    """Two items that the same users have make the Gram matrix singular."""
    twins = Interactions.of([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], 3, 2)
    model = EASE(EASEConfig(regularization=[1e-30]))
    with pytest.raises(TrainingError, match="regularization 1e-30 is too small"):
        model.fit(twins, None, CPU)
