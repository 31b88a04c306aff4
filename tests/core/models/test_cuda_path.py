"""What ``fit`` does on CUDA, end to end, with the same torch code on the CPU: no test machine needs a GPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.bprmf import TorchFactors
from dconrec_core.models.lightgcn import TorchPropagation
from dconrec_core.options import RunOptions
from dconrec_core.types import Interactions, Split
from tests.contracts import fitted, taste_share

EVERYONE = np.arange(60, dtype=np.int32)
SETTINGS: dict[str, dict[str, Any]] = {"bprmf": {"batch_size": 256, "epochs": 40}, "lightgcn": {"epochs": 20}}
every_trained_model = pytest.mark.parametrize("name", sorted(SETTINGS))


@pytest.fixture(autouse=True)
def _torch_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """``fit`` finds the torch engine where it looks for the compiled one."""
    engines: dict[str, Callable[..., object]] = {
        "bprmf.Factors": lambda train, config, rng: TorchFactors(train, config, rng, torch.device("cpu")),
        "lightgcn.CompiledPropagation": lambda train, config, rng: TorchPropagation(
            train, config, rng, torch.device("cpu")
        ),
    }
    for place, engine in engines.items():
        monkeypatch.setattr(f"dconrec_core.models.{place}", engine)


@every_trained_model
def test_fit_learns_the_planted_taste_and_keeps_its_best_epoch(name: str, planted_split: Split) -> None:
    model, history = fitted(name, planted_split, **SETTINGS[name])
    assert taste_share(model, planted_split.train) > 0.95
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    assert valid.measure(model.score, (10,))["ndcg@10"] == pytest.approx(history.best_valid)


@every_trained_model
def test_same_seed_same_bytes_and_another_seed_others(name: str, planted_split: Split) -> None:
    scores = [fitted(name, planted_split, seed, epochs=3)[0].score(EVERYONE) for seed in (0, 0, 1)]
    assert scores[0].tobytes() == scores[1].tobytes() != scores[2].tobytes()
    assert scores[0].dtype == np.float32


@every_trained_model
def test_isolated_users_and_items_keep_finite_scores(name: str) -> None:
    model = MODELS[name].build(MODELS[name].configure(name, {"epochs": 2, "embedding_size": 4}))
    model.fit(Interactions.of([1], [2], 4, 5), None, RunOptions(device="cpu"))
    scores = model.score(np.arange(4, dtype=np.int32))
    assert scores.shape == (4, 5)
    assert np.isfinite(scores).all()


@every_trained_model
def test_state_scores_without_torch(name: str, planted_split: Split) -> None:
    model, _ = fitted(name, planted_split, epochs=2)
    other = MODELS[name].build(model.config)
    other.load_state(model.state())
    assert other.score(EVERYONE).tobytes() == model.score(EVERYONE).tobytes()
