"""The loop around every training, and the search around it."""

import gc
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest

from dconrec_core.checkpoint import Arrays, Checkpoint
from dconrec_core.comparison import train_and_measure
from dconrec_core.errors import ConfigError, DataError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.base import EpochConfig
from dconrec_core.models.bprmf import BPRMF
from dconrec_core.options import Device, EpochEvent, RunOptions
from dconrec_core.ranking import ScoreFunction
from dconrec_core.training import History, passes_of, run_epochs
from dconrec_core.types import Interactions, Split

ONE = Interactions.of([0], [0], 1, 3)


class Steps(EpochConfig):
    learning_rate: float = 0.1


VALID = RankingTask(ONE, Interactions.of([0], [2], 1, 3))


class Counting:
    """A training whose target stands at ``places[epoch]`` of 2 and whose only weight is the number of the epoch."""

    train = ONE

    def __init__(self, losses: Iterator[float], places: dict[int, int]) -> None:
        self.losses, self.places, self.number = losses, places, 0

    def epoch(self) -> float:
        self.number += 1
        return next(self.losses)

    @property
    def score(self) -> ScoreFunction:
        first = self.places.get(self.number, 2) == 1
        return lambda users: np.array([[0, 1, 2 if first else 0]], dtype=np.float32)

    def weights(self) -> Arrays:
        return {"number": np.array([self.number])}

    def restore(self, weights: Arrays) -> None:
        self.number = int(weights["number"][0])

    state, resume = weights, restore


def follow(losses: Iterator[float], places: dict[int, int], valid: bool = True, **config: int) -> tuple[History, int]:
    """The history of a ``Counting`` training, and the epoch whose weights are left."""
    trainer = Counting(losses, places)
    options = RunOptions(label="mine")
    history = run_epochs("counting", Steps(**config), trainer, VALID if valid else None, options)
    return history, trainer.number


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


def test_patience_that_ends_before_the_second_look_is_refused() -> None:
    message = r"teacher.config: eval_every 6 is above patience 5.*; lower eval_every or raise patience"
    with pytest.raises(ConfigError, match=message):
        MODELS["bprmf"].configure("teacher.config", {"eval_every": 6, "patience": 5})
    with pytest.raises(ConfigError, match="eval_every 5 is above patience 4"):
        MODELS["multvae"].configure("teacher.config", {"patience": 4})
    history, _ = follow(constant(), {12: 1}, epochs=100, patience=6, eval_every=6)
    assert history.best_epoch == 12


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


@pytest.mark.parametrize(("least", "passes"), [(1, 1), (3, 3)])
def test_an_epoch_of_a_small_set_is_several_passes(least: int, passes: int) -> None:
    history, left = follow(constant(), {}, valid=False, epochs=4, epoch_interactions=least)
    assert (history.best_epoch, left) == (4, 4 * passes)
    assert (passes_of(Steps(epoch_interactions=100), 40), passes_of(Steps(), 0)) == (3, 1)


def test_last_epoch_is_looked_at_even_off_the_beat() -> None:
    history, left = follow(constant(), {7: 1}, epochs=7, patience=50, eval_every=5)
    assert history.best_epoch == left == 7


def test_where_nobody_has_anything_to_find_the_last_epoch_is_kept() -> None:
    nothing = RankingTask(ONE, Interactions.of([], [], 1, 3))
    trainer = Counting(constant(), {})
    history = run_epochs("counting", Steps(epochs=40, patience=5), trainer, nothing, RunOptions())
    assert (history.best_epoch, trainer.number) == (40, 40)


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


def test_seconds_hold_what_was_done_before_the_first_epoch() -> None:
    begun = time.perf_counter() - 100
    history = run_epochs("counting", Steps(epochs=2), Counting(constant(), {}), VALID, RunOptions(), begun)
    assert 100 < history.seconds_to_best <= history.seconds < 110


def test_loss_that_never_was_finite_says_so() -> None:
    with pytest.raises(TrainingError, match=r"nan in epoch 1 \(learning_rate 0.1; none before it was finite\)"):
        follow(iter([math.nan]), {}, epochs=10)


def test_loss_before_an_interruption_was_finite(tmp_path: Path) -> None:
    options = RunOptions(0, "cpu", label="mine", checkpoints=tmp_path, checkpoint_seconds=0)

    def die(event: EpochEvent, /) -> None:
        if event.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run_epochs("counting", Steps(), Counting(constant(), {}), VALID, replace(options, on_epoch=die))
    with pytest.raises(TrainingError, match=r"nan in epoch 3 \(learning_rate 0.1; last finite loss 0.5\)"):
        run_epochs("counting", Steps(), Counting(iter([math.nan]), {}), VALID, options)


def test_listener_hears_every_epoch() -> None:
    heard: list[EpochEvent] = []
    options = RunOptions(label="x", on_epoch=heard.append)
    run_epochs("counting", EpochConfig(epochs=4, eval_every=3), Counting(constant(), {}), VALID, options)
    assert [(event.epoch, event.total, event.label) for event in heard] == [(n, 4, "x") for n in range(1, 5)]
    assert ["valid_ndcg@10" in event.metrics for event in heard] == [False, False, True, True]


def test_training_and_task_over_other_users_stop_before_the_first_epoch() -> None:
    other = Interactions.of([0, 1], [0, 0], 2, 3)
    trainer = Counting(constant(), {})
    with pytest.raises(DataError, match="the training set has 1 users, the ranking task 2"):
        run_epochs("counting", Steps(), trainer, RankingTask(other, other), RunOptions())
    assert trainer.number == 0


def test_users_who_are_folded_in_decide_when_to_stop_and_have_a_checkpoint_of_their_own(tmp_path: Path) -> None:
    """The target stands second by id, whatever the epoch, and by history first in epoch 3."""

    class ByHistory(Counting):
        def fold_in(self, histories: Interactions) -> ScoreFunction:
            assert histories is ONE
            return Counting(constant(), {0: 1}).score if self.number == 3 else self.score

    inductive = RankingTask(ONE, VALID.target, ONE)
    trainer = ByHistory(constant(), {})
    history = run_epochs("counting", Steps(epochs=6, eval_every=1), trainer, inductive, RunOptions())
    assert (history.best_epoch, history.best_valid, trainer.number) == (3, 1, 3)
    options = RunOptions(checkpoints=tmp_path)
    unseen = RankingTask(ONE.take(np.zeros(len(ONE), dtype=bool)), VALID.target)
    wanting = RankingTask(VALID.seen, VALID.target, wanted=VALID.n_relevant + 1)
    paths = {Checkpoint.of(options, "m", Steps(), ONE, task).path for task in (VALID, inductive, unseen, wanting)}
    assert len(paths) == 4


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["bprmf", "lightgcn"])
@pytest.mark.parametrize("killed_after", [3, 12])
def test_interrupted_training_goes_on_and_ends_in_the_same_bytes(
    name: str, killed_after: int, planted_split: Split, tmp_path: Path
) -> None:
    def train(options: RunOptions) -> tuple[History, bytes]:
        model = MODELS[name].build(MODELS[name].configure(name, {"embedding_size": 8, "epochs": 20, "eval_every": 4}))
        history = model.fit(planted_split.train, RankingTask.valid(planted_split.train, planted_split.valid), options)
        return history, b"".join(array.tobytes() for array in model.state().values())

    def die(event: EpochEvent, /) -> None:
        heard.append(event.epoch)
        if event.epoch == killed_after + 1:
            raise Killed

    heard: list[int] = []
    options = RunOptions(3, "cpu", checkpoints=tmp_path, checkpoint_seconds=0)
    undisturbed = train(RunOptions(3, "cpu"))
    with pytest.raises(Killed):
        train(replace(options, on_epoch=die))
    assert len(list(tmp_path.iterdir())) == 1
    heard.clear()
    again = train(replace(options, on_epoch=lambda event: heard.append(event.epoch)))
    assert heard[0] == killed_after + 1
    assert again[1] == undisturbed[1]
    assert again[0].rows == undisturbed[0].rows
    assert again[0].best_epoch == undisturbed[0].best_epoch
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_another_seed_or_one_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    options = RunOptions(0, "cpu", checkpoints=tmp_path)
    checkpoint = Checkpoint.of(options, "m", EpochConfig(), ONE, None)
    checkpoint.save(7, {"a": np.arange(3)}, None, {"rows": []})
    saved = checkpoint.load()
    assert saved is not None
    assert (saved.epoch, saved.best, saved.state["a"].tolist()) == (7, None, [0, 1, 2])
    for other in (replace(options, seed=1), replace(options, checkpoints=None)):
        assert Checkpoint.of(other, "m", EpochConfig(), ONE, None).load() is None
    assert Checkpoint.of(options, "m", EpochConfig(epochs=9), ONE, None).load() is None
    assert checkpoint.path is not None
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:40])
    assert checkpoint.load() is None


def test_checkpoint_of_other_code_or_of_another_kind_of_device_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path(device: Device) -> Path | None:
        return Checkpoint.of(RunOptions(0, device, checkpoints=tmp_path), "m", EpochConfig(), ONE, None).path

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = path("auto")
    assert before == path("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert path("auto") == path("cuda") != path("cpu") == before
    monkeypatch.setattr("dconrec_core.checkpoint.training_code", lambda: "changed")
    assert path("cpu") != before


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


def test_search_holds_the_best_and_the_reference_trial_alone(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = train_and_measure(**quick(planted_split, trials=1))  # type: ignore[arg-type]
    alive, most, fit = WeakSet[BPRMF](), [0], BPRMF.fit

    def counted(self: BPRMF, *arguments: Any) -> History:
        alive.add(self)
        gc.collect()
        most[0] = max(most[0], len(alive))
        return fit(self, *arguments)

    rates = [1e-6, 0.1, 1e-5, 1e-4, 1e-3]
    monkeypatch.setattr(BPRMF, "search_space", staticmethod(lambda: [{"learning_rate": rate} for rate in rates]))
    monkeypatch.setattr(BPRMF, "fit", counted)
    trained = train_and_measure(**quick(planted_split, trials=5))  # type: ignore[arg-type]
    assert (trained.config["learning_rate"], most[0]) == (0.1, 2)  # the best, and the one in training
    monkeypatch.setattr(BPRMF, "search_space", staticmethod(lambda: [{}, *({"learning_rate": r} for r in rates[::2])]))
    train_and_measure(**quick(planted_split, trials=4), reference=full)  # type: ignore[arg-type]
    assert most[0] <= 3


def test_nothing_is_trained_where_a_trial_of_the_search_is_not_valid(
    planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BPRMF, "search_space", staticmethod(lambda: [{}, {"patience": 5}]))
    heard: list[EpochEvent] = []
    options = RunOptions(device="cpu", on_epoch=heard.append)
    with pytest.raises(ConfigError, match="eval_every 6 is above patience 5"):
        train_and_measure(**quick(planted_split, settings={"eval_every": 6}, options=options))  # type: ignore[arg-type]
    assert not heard


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
