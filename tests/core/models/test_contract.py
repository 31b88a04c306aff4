"""Every model of the registry: learns, repeats itself, survives what data can be like."""

import numpy as np
import pytest

from dconrec_core.errors import ConfigError, NotFittedError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.popularity import popularity_scores
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Interactions, Split
from tests.contracts import QUICK, fitted, taste_share

EVERYONE = np.arange(60, dtype=np.int32)
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def test_sweep_covers_the_registry() -> None:
    assert sorted(MODELS) == ["bprmf", "ease", "graph-filter", "lightgcn", "multvae", "ngcf", "ridge", "xsimgcl"]


@every_model
def test_learns_the_planted_taste(name: str, planted_split: Split) -> None:
    model, history = fitted(name, planted_split)
    assert taste_share(model, planted_split.train) > 0.95
    test = RankingTask.test(planted_split)
    floor = test.measure(popularity_scores(planted_split.train))["ndcg@10"]
    assert test.measure(model.score)["ndcg@10"] > floor + 0.1
    assert history.best_epoch >= 1
    assert history.seconds >= history.seconds_to_best > 0


@every_model
def test_same_seed_same_bytes(name: str, planted_split: Split) -> None:
    first, second = (fitted(name, planted_split)[0].score(EVERYONE) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.dtype == np.float32
    assert first.shape == (60, 40)


@every_model
def test_seed_is_where_randomness_comes_from(name: str, planted_split: Split) -> None:
    first, second = (fitted(name, planted_split, seed)[0].score(EVERYONE) for seed in (0, 1))
    closed_form = name in ("ease", "ridge")
    assert (first.tobytes() == second.tobytes()) == closed_form


@every_model
def test_scores_do_not_depend_on_who_else_is_asked_for(name: str, planted_split: Split) -> None:
    model, _ = fitted(name, planted_split)
    chosen = np.array([7, 3, 7], dtype=np.int32)
    np.testing.assert_allclose(model.score(chosen), model.score(EVERYONE)[chosen], rtol=1e-5, atol=1e-6)


@every_model
def test_state_is_all_that_scoring_needs(name: str, planted_split: Split) -> None:
    model, _ = fitted(name, planted_split)
    other = MODELS[name].build(model.config)
    other.load_state(model.state())
    assert other.score(EVERYONE).tobytes() == model.score(EVERYONE).tobytes()


@every_model
def test_unfitted_model_says_so(name: str) -> None:
    model = MODELS[name].build(MODELS[name].config_class())
    with pytest.raises(NotFittedError, match="must be fitted or loaded"):
        model.score(EVERYONE)
    with pytest.raises(NotFittedError, match="must be fitted or loaded"):
        model.state()


@every_model
def test_isolated_users_and_items_and_a_single_interaction(name: str) -> None:
    train = Interactions.of([1], [2], 4, 5)
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    history = model.fit(train, None, RunOptions(device="cpu"))
    scores = model.score(np.arange(4, dtype=np.int32))
    assert scores.shape == (4, 5)
    assert np.isfinite(scores).all()
    assert np.isnan(history.best_valid)  # nothing was measured


@every_model
@pytest.mark.parametrize("start", ["spectral", "gaussian"])
def test_users_of_whom_nothing_is_known_get_the_most_popular_items(name: str, start: str, planted_split: Split) -> None:
    train = planted_split.train
    known = train.take(train.users >= 20)  # as a small set over real users has no row of some of them
    entry = MODELS[name]
    has_start = "start" in entry.config_class.model_fields
    model = entry.build(entry.configure(name, {**QUICK[name], **({"start": start} if has_start else {})}))
    valid = RankingTask.valid(known, planted_split.valid)
    history = model.fit(known, valid, RunOptions(device="cpu"))
    assert valid.measure(model.score, (10,))["ndcg@10"] == pytest.approx(history.best_valid)
    scores, strangers = model.score(EVERYONE), np.arange(20)
    order = np.argsort(-known.item_degree, kind="stable")
    np.testing.assert_array_equal(np.argsort(-scores[strangers], axis=1, kind="stable"), np.tile(order, (20, 1)))
    assert not (np.argsort(-scores[20:], axis=1, kind="stable") == order).all(axis=1).any()
    other = entry.build(model.config)
    other.load_state(model.state())
    assert other.score(EVERYONE).tobytes() == scores.tobytes()


@every_model
def test_nothing_to_validate_on_is_no_reason_to_fail(name: str, planted: Interactions) -> None:
    """Users with two interactions leave none for valid."""
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    nothing = planted.take(np.zeros(len(planted), dtype=bool))
    history = model.fit(planted, RankingTask.valid(planted, nothing), RunOptions(device="cpu"))
    assert history.best_valid == 0
    assert np.isfinite(model.score(EVERYONE)).all()


@every_model
def test_listener_hears_validation_and_the_best_epoch_is_kept(name: str, planted_split: Split) -> None:
    heard: list[EpochEvent] = []
    entry = MODELS[name]
    model = entry.build(entry.configure(name, QUICK[name]))
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    history = model.fit(planted_split.train, valid, RunOptions(device="cpu", label="mine", on_epoch=heard.append))
    assert {event.label for event in heard} == {"mine"}
    looks = {event.epoch: event.metrics["valid_ndcg@10"] for event in heard if "valid_ndcg@10" in event.metrics}
    assert history.best_valid == max(looks.values()) == looks[history.best_epoch]
    assert valid.measure(model.score, (10,))["ndcg@10"] == pytest.approx(history.best_valid)


@every_model
def test_cuda_by_name_where_there_is_none(name: str, planted_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model = MODELS[name].build(MODELS[name].config_class())
    with pytest.raises(ConfigError, match=r"device is 'cuda', but torch .* sees no CUDA device"):
        model.fit(planted_split.train, None, RunOptions(device="cuda"))


@pytest.mark.parametrize("name", ["bprmf", "lightgcn", "multvae", "ngcf", "xsimgcl"])
def test_diverged_training_stops_and_says_what_to_change(name: str, planted_split: Split) -> None:
    message = (
        rf"{name}: the loss is (nan|inf) in epoch 1 \(learning_rate 1e\+25, weight_decay .*; lower the learning rate"
    )
    with pytest.raises(TrainingError, match=message):
        fitted(name, planted_split, learning_rate=1e25)


@every_model
def test_search_starts_at_the_defaults_and_every_step_is_valid(name: str) -> None:
    entry = MODELS[name]
    space = entry.build(entry.config_class()).search_space()
    assert space[0] == {}
    configs = [entry.configure(name, step) for step in space]
    assert len({config.model_dump_json() for config in configs}) == len(space)
