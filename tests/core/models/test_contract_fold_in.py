"""Every model of the registry, for users it never saw: they are folded in from what they had."""

import warnings
from functools import cache

import numpy as np
import pytest

from dconrec_core.comparison import train_and_measure
from dconrec_core.errors import DataError, NotFittedError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS, Recommender
from dconrec_core.models.popularity import popularity_scores
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import top_items
from dconrec_core.types import Interactions, Split
from tests.contracts import QUICK, fitted, made_up_users, taste_share

EVERYONE = np.arange(60, dtype=np.int32)
every_model = pytest.mark.parametrize("name", sorted(MODELS))


@pytest.fixture(scope="module")
def model_of(planted_split: Split):
    """A fitted model of the registry, the same for all tests here: none of them may change it."""
    return cache(lambda name: fitted(name, planted_split)[0])


@every_model
def test_training_users_histories_find_their_taste(name: str, model_of, planted_split: Split) -> None:
    assert taste_share(model_of(name), planted_split.train, inductive=True) > 0.95
    test = RankingTask.test(planted_split, inductive=True)
    floor = test.measure(popularity_scores(planted_split.train))["ndcg@10"]
    assert test.measure(test.score_of(model_of(name)))["ndcg@10"] > floor + 0.1


@every_model
def test_users_never_seen_find_their_taste(name: str, planted_split: Split) -> None:
    known = planted_split.train.users < 30
    valid = planted_split.valid
    split = Split(planted_split.train.take(known), valid.take(valid.users < 30), planted_split.test)
    model, _ = fitted(name, split)
    train = planted_split.train.take(~known)
    strangers = Interactions.of(train.users - 30, train.items, 30, 40)
    assert taste_share(model, strangers, inductive=True) > 0.9


@every_model
def test_made_up_users_are_trained_on_and_real_ones_validated(name: str, planted_split: Split) -> None:
    heard: list[EpochEvent] = []
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    valid = RankingTask.valid(planted_split.train, planted_split.valid, inductive=True)
    history = model.fit(made_up_users(), valid, RunOptions(device="cpu", on_epoch=heard.append))
    looks = {event.epoch: event.metrics["valid_ndcg@10"] for event in heard if "valid_ndcg@10" in event.metrics}
    assert max(looks.values()) == looks[history.best_epoch]
    # How users are folded in is chosen last, where there is a choice; it cannot make valid worse.
    chosen = len(getattr(model.config, "fold_in_penalty", [])) > 1
    assert history.best_valid >= max(looks.values()) if chosen else history.best_valid == max(looks.values())
    assert valid.measure(valid.score_of(model), (10,))["ndcg@10"] == pytest.approx(history.best_valid)
    assert taste_share(model, planted_split.train, inductive=True) > 0.9


@every_model
def test_made_up_users_without_valid(name: str, planted_split: Split) -> None:
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    model.fit(made_up_users(), None, RunOptions(device="cpu"))
    assert taste_share(model, planted_split.train, inductive=True) > 0.9


@every_model
def test_real_users_cannot_be_looked_up_among_made_up_ones(name: str, planted_split: Split) -> None:
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    valid = RankingTask.valid(planted_split.train, planted_split.valid)
    message = "the training set has 6 users, the ranking task 60; .* make the task inductive"
    with pytest.raises(DataError, match=message):
        model.fit(made_up_users(), valid, RunOptions(device="cpu"))


@every_model
def test_search_over_a_set_of_made_up_users(name: str, planted_split: Split) -> None:
    trained = train_and_measure(
        name, QUICK[name], made_up_users(), planted_split, 1, RunOptions(device="cpu"), inductive=True
    )
    floor = RankingTask.test(planted_split).measure(popularity_scores(planted_split.train))["ndcg@10"]
    assert trained.metrics["ndcg@10"] == trained.same_settings["ndcg@10"] > floor + 0.1


@every_model
def test_scores_do_not_depend_on_who_else_is_folded_in(name: str, model_of, planted_split: Split) -> None:
    train = planted_split.train
    everyone = model_of(name).fold_in(train)(EVERYONE)
    assert everyone.dtype == np.float32
    assert everyone.shape == (60, 40)
    alone = Interactions.of(np.zeros(int(train.user_degree[7]), dtype=np.int32), train.items[train.users == 7], 1, 40)
    few = train.take((train.users == 7) | (train.users == 30))  # and 58 users without a history
    with pytest.warns(RuntimeWarning, match="58 of 60 users had nothing the model knows"):
        among_empty = model_of(name).fold_in(few)
    for score, user in ((model_of(name).fold_in(alone), 0), (among_empty, 7)):
        got = score(np.array([user], dtype=np.int32))[0]
        np.testing.assert_allclose(got, everyone[7], rtol=1e-4, atol=1e-5)


@every_model
def test_empty_history_gets_the_most_popular_items(name: str, model_of, planted_split: Split) -> None:
    train = planted_split.train
    some = train.take(train.users < 58)
    with pytest.warns(
        RuntimeWarning,
        match="2 of 60 users had nothing the model knows; they get the most popular",
    ) as caught:
        score = model_of(name).fold_in(some)
    assert len(caught) == 1
    nothing_seen = train.take(train.users < 0)
    ranked = top_items(score, nothing_seen, EVERYONE[57:], 10)
    popular = np.argsort(-train.item_degree, kind="stable")[:10]
    assert ranked[1].tolist() == ranked[2].tolist() == popular.tolist()
    assert ranked[0].tolist() != popular.tolist()


@every_model
def test_full_histories_are_no_reason_to_warn(name: str, model_of, planted_split: Split) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of(name).fold_in(planted_split.train)


@every_model
def test_histories_over_another_catalogue_name_both_sizes(name: str, model_of) -> None:
    with pytest.raises(DataError, match="the histories are over 41 items, the model was trained on 40"):
        model_of(name).fold_in(Interactions.of([0], [40], 1, 41))


@every_model
def test_state_is_all_that_folding_in_needs(name: str, model_of, planted_split: Split) -> None:
    model = model_of(name)
    other: Recommender = MODELS[name].build(model.config)
    other.load_state(model.state())
    first, second, loaded = (each.fold_in(planted_split.train)(EVERYONE) for each in (model, model, other))
    assert first.tobytes() == second.tobytes() == loaded.tobytes()


@every_model
def test_unfitted_model_says_so(name: str, planted: Interactions) -> None:
    with pytest.raises(NotFittedError, match="must be fitted or loaded before it can fold users in"):
        MODELS[name].build(MODELS[name].config_class()).fold_in(planted)


@every_model
def test_isolated_items_and_a_single_interaction(name: str) -> None:
    model = MODELS[name].build(MODELS[name].configure(name, QUICK[name]))
    model.fit(Interactions.of([0], [2], 1, 5), None, RunOptions(device="cpu"))
    scores = model.fold_in(Interactions.of([0, 1], [2, 4], 2, 5))(np.arange(2, dtype=np.int32))
    assert scores.shape == (2, 5)
    assert np.isfinite(scores).all()
