"""Two clocks of a training, in turn on both sides."""

import pytest

from benchmarks import training_time
from benchmarks.datasets import load_split
from benchmarks.timed_training import TimedTraining, timed_training
from dconrec_core.comparison import warm_up
from dconrec_core.errors import ConfigError
from dconrec_core.evaluation import RankingTask
from dconrec_core.options import RunOptions
from dconrec_core.training import History


def course(*looks: tuple[float, float]) -> TimedTraining:
    seconds, valid = max(looks, key=lambda look: look[1])
    return TimedTraining(History(best_epoch=7, best_valid=valid, seconds_to_best=seconds), list(looks))


def test_both_clocks_hand_worked():
    ours = [course((1.0, 0.15), (2.0, 0.197), (8.0, 0.21)), course((1.0, 0.15), (4.0, 0.197), (10.0, 0.21))]
    theirs = [course((6.0, 0.196), (9.0, 0.2)), course((9.0, 0.196), (15.0, 0.2))]
    row = training_time.beside(ours, theirs)
    assert (row["train_seconds"], row["full_train_seconds"]) == (9.0, 12.0)
    assert row["speed_up"] == pytest.approx(12 / 9, abs=1e-3)
    assert (row["seconds_to_share"], row["full_seconds_to_share"]) == (3.0, 7.5)
    assert row["speed_up_to_share"] == 2.5
    assert row["valid_quality"] == pytest.approx(1.05)


def test_a_set_that_never_gets_there_has_no_second_clock():
    row = training_time.beside([course((1.0, 0.19))], [course((9.0, 0.2))])
    assert row["seconds_to_share"] is None
    assert row["speed_up_to_share"] is None
    assert row["full_seconds_to_share"] == 9.0


def test_looks_are_those_of_the_training(tmp_path):
    split = load_split("tiny", tmp_path, 0)
    valid = RankingTask.valid(split.train, split.valid)
    warm_up("bprmf", inductive=False, device="cpu")
    timed = timed_training("bprmf", {"epochs": 6, "eval_every": 2}, split.train, valid, RunOptions())
    assert [value for _, value in timed.looks] == [row["valid_ndcg@10"] for row in timed.history.rows]
    seconds = [when for when, _ in timed.looks]
    assert len(seconds) == 3
    assert seconds == sorted(seconds)
    assert timed.seconds_to(timed.history.best_valid) == pytest.approx(timed.history.seconds_to_best, abs=0.05)


def test_every_model_of_the_paper_has_a_cell():
    experiment = training_time.Experiment.full()
    cells = [training_time.cell_of(experiment, model, seed) for model in training_time.MODELS for seed in (0, 2)]
    assert {cell.condenser for cell in cells} == {"dconrec"}
    assert not any(cell.fold_in for cell in cells)
    with pytest.raises(ConfigError, match="--seed is 7; ngcf has the seeds 0, 1, 2"):
        training_time.cell_of(experiment, "ngcf", 7)
