"""Training side by side: what a training's seconds hold."""

import time

import pytest

from dconrec_core.comparison import train_and_measure, warm_up
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.ease import EASE
from dconrec_core.options import RunOptions
from dconrec_core.training import History
from dconrec_core.types import Interactions, Split

CPU = RunOptions(device="cpu")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("inductive", [False, True])
def test_every_model_warms_up(model: str, inductive: bool):
    warm_up(model, inductive, "cpu")


def test_what_only_the_first_training_pays_is_in_nobodys_seconds(planted_split: Split, monkeypatch: pytest.MonkeyPatch):
    fit, fitted = EASE.fit, []

    def first_is_slow(self: EASE, train: Interactions, valid: RankingTask | None, options: RunOptions) -> History:
        started = time.perf_counter()
        time.sleep(0 if fitted else 0.5)  # as compiling is
        fitted.append(train)
        history = fit(self, train, valid, options)
        history.seconds = history.seconds_to_best = time.perf_counter() - started
        return history

    monkeypatch.setattr(EASE, "fit", first_is_slow)
    warm_up.cache_clear()
    full = train_and_measure("ease", {}, planted_split.train, planted_split, 1, CPU)
    again = train_and_measure("ease", {}, planted_split.train, planted_split, 1, CPU)
    assert full.tuning_seconds < 0.4
    assert full.metrics == again.metrics
    assert len(fitted) == 3  # warmed up once
