"""The loop around every training, and the search around it."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dconrec_core.comparison import train_and_measure
from dconrec_core.errors import ConfigError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models.base import EpochConfig
from dconrec_core.models.bprmf import BPRMF
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.training import History, run_epochs
from dconrec_core.types import Interactions, Split

ONE = Interactions.of([0], [0], 1, 3)
VALID = RankingTask(ONE, Interactions.of([0], [2], 1, 3))


def follow(losses: Iterator[float], places: dict[int, int], valid: bool = True, **config: int) -> tuple[History, int]:
    """A training whose target stands at ``places[epoch]`` of 2; gives the history and the weights that are left."""
    state = {"epoch": 0}

    def epoch() -> float:
        state["epoch"] += 1
        return next(losses)

    def score() -> Callable[[np.ndarray], np.ndarray]:
        first = places.get(state["epoch"], 2) == 1
        return lambda users: np.array([[0, 1, 2 if first else 0]], dtype=np.float32)

    def restore(saved: int) -> None:
        state["epoch"] = saved

    history = run_epochs(
        EpochConfig(**config),
        epoch=epoch,
        score=score,
        snapshot=lambda: state["epoch"],
        restore=restore,
        valid=VALID if valid else None,
        options=RunOptions(label="mine"),
        describe="learning_rate 0.1",
    )
    return history, state["epoch"]


def constant() -> Iterator[float]:
    while True:
        yield 0.5


def test_best_epoch_is_kept_and_patience_ends_the_training() -> None:
    history, left = follow(constant(), {4: 1, 6: 1}, epochs=100, patience=6, eval_every=2)
    assert history.best_epoch == left == 4
    assert history.best_valid == 1
    assert [row["epoch"] for row in history.rows] == [2, 4, 6, 8, 10]
    assert history.rows[0]["valid_ndcg@10"] == pytest.approx(1 / math.log2(3))


def test_patience_is_counted_in_epochs_from_the_best() -> None:
    history, _ = follow(constant(), {3: 1, 8: 1}, epochs=100, patience=4, eval_every=1)
    assert [row["epoch"] for row in history.rows] == list(range(1, 8))
    history, _ = follow(constant(), {3: 1}, epochs=100, patience=1, eval_every=1)
    assert len(history.rows) == 2


def test_times_are_those_of_the_whole_and_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    def losses() -> Iterator[float]:
        while True:
            clock[0] += 1
            yield 0.5

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    history, _ = follow(losses(), {4: 1}, epochs=100, patience=6, eval_every=2)
    assert (history.seconds_to_best, history.seconds) == (4, 10)
    history, _ = follow(losses(), {}, valid=False, epochs=3)
    assert (history.seconds_to_best, history.seconds) == (3, 3)


def test_last_epoch_is_looked_at_even_off_the_beat() -> None:
    history, left = follow(constant(), {7: 1}, epochs=7, patience=50, eval_every=5)
    assert history.best_epoch == left == 7


def test_without_valid_the_last_epoch_is_kept() -> None:
    history, left = follow(constant(), {}, valid=False, epochs=3)
    assert history.best_epoch == left == 3
    assert math.isnan(history.best_valid)
    assert [row["loss"] for row in history.rows] == [0.5] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite_stops_with_all_there_is_to_know(bad: float) -> None:
    message = r"mine: the loss is (nan|inf) in epoch 3 \(learning_rate 0.1; last finite loss 0.25\); lower the learning"
    with pytest.raises(TrainingError, match=message):
        follow(iter([0.5, 0.25, bad]), {}, epochs=10)


def test_listener_hears_every_epoch() -> None:
    heard: list[EpochEvent] = []
    run_epochs(
        EpochConfig(epochs=4, eval_every=3),
        epoch=lambda: 1.0,
        score=lambda: lambda users: np.zeros((1, 3), dtype=np.float32),
        snapshot=lambda: None,
        restore=lambda saved: None,
        valid=VALID,
        options=RunOptions(label="x", on_epoch=heard.append),
        describe="",
    )
    assert [(event.epoch, event.total, event.label) for event in heard] == [(n, 4, "x") for n in range(1, 5)]
    assert ["valid_ndcg@10" in event.metrics for event in heard] == [False, False, True, True]


def quick(planted_split: Split, **changes: object) -> dict[str, object]:
    return {"model": "bprmf", "settings": {"epochs": 10, "embedding_size": 8}, "train": planted_split.train,
            "split": planted_split, "trials": 3, "options": RunOptions(device="cpu"), **changes}  # fmt: skip


def test_search_keeps_the_best_on_valid_and_a_larger_one_is_never_worse_there(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [1e-6, 0.1, 1e-5]  # all but the second learn nothing
    monkeypatch.setattr(BPRMF, "search_space", staticmethod(lambda: [{"learning_rate": rate} for rate in rates]))
    tried = [train_and_measure(**quick(planted_split, trials=trials)) for trials in (1, 2, 3)]  # type: ignore[arg-type]
    assert [trained.config["learning_rate"] for trained in tried] == [1e-6, 0.1, 0.1]
    assert tried[0].history.best_valid < tried[1].history.best_valid == tried[2].history.best_valid
    assert tried[0].metrics != tried[1].metrics
    # A training with the settings that full data chose is a trial of the same search.
    other = train_and_measure(**quick(planted_split, trials=3), reference=tried[0])  # type: ignore[arg-type]
    assert (other.config, other.metrics) == (tried[2].config, tried[2].metrics)
    assert other.same_settings == tried[0].metrics


def test_settings_replace_defaults_and_the_searchs_own_steps_come_on_top(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BPRMF, "search_space", staticmethod(lambda: [{"weight_decay": 0.03}]))
    settings = {"epochs": 1, "weight_decay": 0.5, "embedding_size": 8}
    config = train_and_measure(**quick(planted_split, settings=settings, trials=1)).config  # type: ignore[arg-type]
    assert (config["weight_decay"], config["embedding_size"], config["patience"]) == (0.03, 8, 25)


def test_test_has_no_say_in_the_choice(planted_split: Split) -> None:
    other = Split(planted_split.train, planted_split.valid, planted_split.test.take(np.arange(5)))
    first, second = (train_and_measure(**quick(planted_split, split=split)) for split in (planted_split, other))  # type: ignore[arg-type]
    assert first.config == second.config
    assert first.history.rows == second.history.rows
    assert first.metrics != second.metrics


def test_same_settings_are_the_reference_trials(planted_split: Split) -> None:
    half = planted_split.train.take(np.arange(0, len(planted_split.train), 2))
    full = train_and_measure(**quick(planted_split))  # type: ignore[arg-type]
    tuned = train_and_measure(**quick(planted_split, train=half), reference=full)  # type: ignore[arg-type]
    alone = train_and_measure(**quick(planted_split, train=half, trials=1, settings=full.config))  # type: ignore[arg-type]
    assert tuned.same_settings == alone.metrics
    assert full.same_settings == full.metrics


def test_wrong_settings_name_their_place(planted_split: Split) -> None:
    with pytest.raises(ConfigError, match=r"evaluate.models.bprmf.epoch is not a setting; did you mean 'epochs'"):
        train_and_measure(**quick(planted_split, settings={"epoch": 3}))  # type: ignore[arg-type]
