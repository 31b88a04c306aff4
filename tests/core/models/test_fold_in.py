"""Folding into embeddings against dense algebra, the choice of its penalty, and every engine's way to it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models._torch import moved_to
from dconrec_core.models.bprmf import BPRMF, BPRMFConfig, Factors, TorchFactors
from dconrec_core.models.fold_in import FoldIn, FoldInConfig
from dconrec_core.models.lightgcn import CompiledPropagation, LightGCNConfig, TorchPropagation
from dconrec_core.models.multvae import Autoencoder, MultVAEConfig
from dconrec_core.models.ngcf import CompiledPropagation as CompiledNeural
from dconrec_core.models.ngcf import NGCFConfig
from dconrec_core.models.ngcf import Propagation as NeuralPropagation
from dconrec_core.models.xsimgcl import CompiledContrast, TorchContrast, XSimGCLConfig
from dconrec_core.options import RunOptions
from dconrec_core.ranking import DotProducts, ScoreFunction
from dconrec_core.training import Trainer
from dconrec_core.types import Interactions, Split
from tests.contracts import made_up_users

CPU = torch.device("cpu")
TRAIN = Interactions.of([0, 0, 1, 1, 2], [0, 1, 0, 3, 0], 3, 5)  # items 2 and 4 are isolated
HISTORIES = Interactions.of([0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 3, 4], 3, 5)
PENALTIES = [1e-4, 1.0, 1000.0]


def dense(items: np.ndarray, penalty: float, a: float, b: float) -> np.ndarray:
    """The formula as it is written, float64."""
    weight = (TRAIN.item_degree + 1.0) ** -a / ((TRAIN.item_degree + 1.0) ** -a).max()
    v, rows = items.astype(np.float64), HISTORIES.csr().toarray()
    f = v * weight[:, None]
    ridge = penalty * np.trace(f.T @ f) / f.shape[1] * np.eye(f.shape[1])
    users = np.linalg.inv(f.T @ f + ridge) @ f.T @ rows.T
    return np.asarray((v @ users).T * (TRAIN.item_degree + 1.0) ** -b)


@pytest.mark.parametrize("penalty", [0.01, 10.0])
@pytest.mark.parametrize(("a", "b"), [(0, 0), (0.5, 0), (0, 0.3), (0.7, -0.4), (-0.5, 1)])
def test_scores_are_those_of_the_dense_formula(penalty: float, a: float, b: float) -> None:
    items = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    score = FoldIn(TRAIN.item_degree, penalty, a, b).scores(items, HISTORIES)
    assert isinstance(score, DotProducts)
    np.testing.assert_allclose(score(np.arange(3, dtype=np.int32)), dense(items, penalty, a, b), atol=1e-5)


def test_one_item_hand_worked() -> None:
    """V = (2), so VᵀV = μ = 4; a user who had it gets u = 2 / (4 + 4 λ), and the score 2 u."""
    one = Interactions.of([0], [0], 1, 1)
    score = FoldIn(one.item_degree, 3.0, 0.5, 1.0).scores(np.array([[2]], dtype=np.float32), one)
    assert score(np.zeros(1, dtype=np.int32)) == pytest.approx(2 * 2 / 16 / 2)  # the last 2 is degree + 1


@pytest.mark.parametrize("length", [1e-3, 1e3])
def test_penalty_does_not_depend_on_how_long_the_embeddings_are(length: float) -> None:
    items = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    users = np.arange(3, dtype=np.int32)
    folding = FoldIn(TRAIN.item_degree, 2.0, 0.3, 0.2)
    scores = folding.scores(items, HISTORIES)(users), folding.scores(items * np.float32(length), HISTORIES)(users)
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6)


def test_embeddings_of_nothing_score_nothing() -> None:
    score = FoldIn(TRAIN.item_degree, 10.0, 0, 0).scores(np.zeros((5, 3), dtype=np.float32), HISTORIES)
    assert (score(np.arange(3, dtype=np.int32)) == 0).all()


def test_popularity_of_empty_histories_is_in_the_order_and_length_of_the_items() -> None:
    items = np.array([[3, 4], [0, 0], [1, 0], [0, 1], [2, 0]], dtype=np.float32)
    some = HISTORIES.take(HISTORIES.users == 1)
    with pytest.warns(RuntimeWarning, match="2 of 3 users had nothing the model knows"):
        score = FoldIn(TRAIN.item_degree, 10.0, 0, 0).scores(items, some)
    assert isinstance(score, DotProducts)
    np.testing.assert_allclose(score(np.array([0], dtype=np.int32)), [[5, 5 / 3, 0, 5 / 3, 0]], rtol=1e-6)


@pytest.mark.parametrize("inductive", [False, True])
def test_penalty_that_ranks_valid_best_is_kept(inductive: bool, planted_split: Split) -> None:
    train = planted_split.train
    items = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    items[:, 0] += 2 * (np.arange(40) % 2)
    valid = RankingTask.valid(train, planted_split.valid, inductive)
    first = FoldIn.of(FoldInConfig(fold_in_penalty=PENALTIES), train)
    quality = [
        valid.measure(FoldIn(train.item_degree, penalty, 0, 0).scores(items, train), (10,))["ndcg@10"]
        for penalty in PENALTIES
    ]
    assert len(set(quality)) > 1
    folding, best = first.tuned(PENALTIES, items, valid)
    known = valid.measure(first.scores(items, train), (10,))["ndcg@10"]
    assert first.tuned(PENALTIES, items, valid, known) == (folding, best)
    assert first.tuned(PENALTIES, items, valid, 2.0) == (first, 2.0)  # taken as it is
    assert (folding.penalty, best) == (PENALTIES[int(np.argmax(quality))], max(quality))


def test_without_a_choice_or_valid_the_first_penalty_is_taken_unseen(planted_split: Split) -> None:
    train, items = planted_split.train, np.ones((40, 2), dtype=np.float32)
    valid = RankingTask.valid(train, planted_split.valid, inductive=True)
    first = FoldIn.of(FoldInConfig(fold_in_penalty=PENALTIES), train)
    assert first.tuned(PENALTIES, items, None) == (first, None)
    assert first.tuned(PENALTIES[:1], items, valid) == (first, None)


def test_time_to_the_best_holds_the_choice_that_its_quality_comes_from(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        time.sleep(0.5)
        return tuned(*arguments)

    tuned = FoldIn.tuned
    monkeypatch.setattr(FoldIn, "tuned", slow)
    model = BPRMF(BPRMFConfig(embedding_size=8, epochs=1, fold_in_penalty=PENALTIES))
    folded = RankingTask.valid(planted_split.train, planted_split.valid, inductive=True)
    history = model.fit(made_up_users(), folded, RunOptions(device="cpu"))
    assert 0.5 < history.seconds_to_best <= history.seconds
    by_id = RankingTask.valid(planted_split.train, planted_split.valid)  # ranks by what was trained: nothing to choose
    history = model.fit(planted_split.train, by_id, RunOptions(device="cpu"))
    assert history.seconds_to_best < 0.5 < history.seconds


def test_fit_tells_of_the_quality_with_the_kept_penalty_and_saves_it(planted_split: Split) -> None:
    config = BPRMFConfig(embedding_size=8, epochs=10, fold_in_penalty=PENALTIES, input_exponent=0.2)
    valid = RankingTask.valid(planted_split.train, planted_split.valid, inductive=True)
    model = BPRMF(config)
    history = model.fit(made_up_users(), valid, RunOptions(device="cpu"))
    assert history.best_valid == valid.measure(valid.score_of(model), (10,))["ndcg@10"]
    assert history.best_valid >= max(row["valid_ndcg@10"] for row in history.rows)
    assert model.folding is not None
    assert model.state()["fold_in"].tolist() == [model.folding.penalty, 0.2, 0]
    other = BPRMF(BPRMFConfig())  # what was chosen is in the state, not in the settings
    other.load_state(model.state())
    users = np.arange(60, dtype=np.int32)
    again = (each.fold_in(planted_split.train)(users).tobytes() for each in (model, other))
    assert len(set(again)) == 1


@pytest.mark.parametrize("setting", [{"fold_in_penalty": []}, {"fold_in_penalty": [0]}, {"input_exponent": "inf"}])
@pytest.mark.parametrize("name", ["bprmf", "lightgcn", "ngcf", "xsimgcl"])
def test_settings_out_of_range_are_refused(name: str, setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"m.{next(iter(setting))}"):
        MODELS[name].configure("m", setting)


ENGINES: dict[str, Callable[[Interactions], Trainer]] = {
    "bprmf": lambda train: Factors(train, BPRMFConfig(), np.random.default_rng(0)),
    "bprmf in torch": lambda train: TorchFactors(train, BPRMFConfig(), np.random.default_rng(0), CPU),
    "lightgcn": lambda train: CompiledPropagation(train, LightGCNConfig(), np.random.default_rng(0)),
    "lightgcn in torch": lambda train: TorchPropagation(train, LightGCNConfig(), np.random.default_rng(0), CPU),
    "ngcf": lambda train: CompiledNeural(train, NGCFConfig(), np.random.default_rng(0)),
    "ngcf in torch": lambda train: NeuralPropagation(train, NGCFConfig(), np.random.default_rng(0), CPU),
    "xsimgcl": lambda train: CompiledContrast(train, XSimGCLConfig(), np.random.default_rng(0)),
    "xsimgcl in torch": lambda train: TorchContrast(train, XSimGCLConfig(), np.random.default_rng(0), CPU),
    "multvae": lambda train: Autoencoder(train, MultVAEConfig(hidden_size=8), np.random.default_rng(0), CPU),
}


def scores_in_training(name: str, histories: Interactions) -> ScoreFunction:
    trainer = ENGINES[name](made_up_users())
    trainer.epoch()
    return trainer.fold_in(histories)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_every_engine_folds_in_while_it_trains(name: str, planted_split: Split) -> None:
    score = scores_in_training(name, planted_split.train)
    scores = score(np.arange(60, dtype=np.int32))
    assert scores.shape == (60, 40)
    assert np.isfinite(scores).all()
    assert isinstance(score, DotProducts) == (name != "multvae")
    with pytest.raises(DataError, match="over 41 items, the model was trained on 40"):
        scores_in_training(name, Interactions.of([0], [40], 1, 41))


@pytest.mark.parametrize("name", ["bprmf", "lightgcn"])
def test_engines_fold_in_alike(name: str, planted_split: Split) -> None:
    """From the same start; what they make of it is compared elsewhere."""
    users = np.arange(60, dtype=np.int32)
    first, second = (
        ENGINES[engine](planted_split.train).fold_in(planted_split.train)(users)
        for engine in (name, f"{name} in torch")
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_products_on_a_device_are_the_same_products() -> None:
    rng = np.random.default_rng(0)
    products = DotProducts(*(rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 5)))
    users = np.array([3, 0], dtype=np.int32)
    assert moved_to(CPU, products) is products
    meta = moved_to(torch.device("meta"), products)
    assert not isinstance(meta, DotProducts)
    moved = moved_to(torch.device("cpu", 0), products)
    np.testing.assert_allclose(moved(users), products(users))
