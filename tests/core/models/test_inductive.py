"""Every model of the registry, trained over the items that a set with users of its own holds, and over no others."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.comparison import fit_best
from dconrec_core.errors import DataError, NotFittedError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.inductive import Inductive, over_mentioned_items
from dconrec_core.models.store import load_model, save_model
from dconrec_core.options import RunOptions
from dconrec_core.ranking import top_items
from dconrec_core.types import Interactions, Split
from tests.contracts import QUICK, made_up_users, taste_share

UNKNOWN = np.array([1, 6, 7, 20, 39], dtype=np.int32)
KNOWN = np.setdiff1d(np.arange(40, dtype=np.int32), UNKNOWN)
EVERYONE = np.arange(60, dtype=np.int32)
CPU = RunOptions(device="cpu")
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def few_items() -> Interactions:
    """Made-up users who have 35 of 40 items."""
    whole = made_up_users()
    return whole.take(~np.isin(whole.items, UNKNOWN))


def unfitted(name: str):
    return MODELS[name].build(MODELS[name].configure(name, QUICK.get(name, {})))


def trained(name: str, train: Interactions) -> Inductive:
    model = Inductive(unfitted(name))
    model.fit(train, None, CPU)
    return model


@every_model
def test_is_the_model_of_the_smaller_catalogue(name: str, planted_split: Split) -> None:
    bare = unfitted(name)
    bare.fit(few_items().among(KNOWN), None, CPU)
    model = trained(name, few_items())
    scores = model.fold_in(planted_split.train)(EVERYONE)
    expected = bare.fold_in(planted_split.train.among(KNOWN))(EVERYONE)
    assert scores.dtype == np.float32
    assert scores[:, KNOWN].tobytes() == expected.tobytes()
    assert (scores[:, UNKNOWN].max(axis=1) < scores[:, KNOWN].min(axis=1)).all()
    assert taste_share(model, planted_split.train, inductive=True) > 0.8
    own = np.arange(6, dtype=np.int32)
    assert model.score(own)[:, KNOWN].tobytes() == bare.score(own).tobytes()


@pytest.mark.parametrize("name", ["bprmf", "lightgcn", "ngcf", "xsimgcl"])
def test_models_of_embeddings_may_have_the_whole_catalogue(name: str, planted_split: Split) -> None:
    """Then it is the model itself, and what a user has of the items that the set does not mention counts."""
    settings = {**QUICK.get(name, {}), "whole_catalogue": True}
    bare, model = (MODELS[name].build(MODELS[name].configure(name, settings)) for _ in range(2))
    model = over_mentioned_items(model, inductive=True)
    for each in (bare, model):
        each.fit(few_items(), None, CPU)
    scores = model.fold_in(planted_split.train)(EVERYONE)
    assert scores.tobytes() == bare.fold_in(planted_split.train)(EVERYONE).tobytes()
    assert scores.tobytes() != trained(name, few_items()).fold_in(planted_split.train)(EVERYONE).tobytes()


@every_model
def test_of_all_items_it_is_the_model_itself(name: str, planted_split: Split) -> None:
    bare = unfitted(name)
    bare.fit(planted_split.train, None, CPU)
    scores = trained(name, planted_split.train).fold_in(planted_split.valid)(EVERYONE)
    assert scores.tobytes() == bare.fold_in(planted_split.valid)(EVERYONE).tobytes()


@every_model
def test_valid_counts_what_it_cannot_find(name: str, planted_split: Split) -> None:
    valid = RankingTask.valid(planted_split.train, planted_split.valid, inductive=True)
    tried = fit_best(name, [QUICK.get(name, {})], few_items(), valid, CPU, where=name)
    model, history = tried.best, tried.history
    assert isinstance(model, Inductive)
    assert np.isin(valid.target.items, UNKNOWN).any()
    ranked = top_items(valid.score_of(model), valid.seen, valid.users, 10)
    assert not np.isin(ranked, UNKNOWN).any()
    assert valid.measure(valid.score_of(model), (10,))["ndcg@10"] == pytest.approx(history.best_valid)


@every_model
def test_stored_and_loaded(name: str, planted_split: Split, tmp_path: Path) -> None:
    model = trained(name, few_items())
    save_model(tmp_path, name, model)
    loaded = load_model(tmp_path)
    first, second = (each.fold_in(planted_split.train)(EVERYONE) for each in (model, loaded))
    assert first.tobytes() == second.tobytes()
    assert loaded.search_space() == model.search_space()


@every_model
def test_a_set_of_one_interaction(name: str) -> None:
    model = trained(name, Interactions.of([0], [2], 1, 5))
    with pytest.warns(RuntimeWarning, match="1 of 2 users had nothing the model knows"):
        score = model.fold_in(Interactions.of([0, 1], [2, 4], 2, 5))
    task = RankingTask(Interactions.of([], [], 2, 5), Interactions.of([0, 1], [2, 4], 2, 5))
    assert task.rank(score, 3)[:, 0].tolist() == [2, 2]
    assert task.rank(score, 3).shape == (2, 3)


@every_model
def test_an_empty_set_knows_every_item(name: str) -> None:
    model = trained(name, Interactions.of([], [], 2, 5))
    with pytest.warns(RuntimeWarning, match="1 of 1 users had nothing the model knows"):
        assert model.fold_in(Interactions.of([], [], 1, 5))(EVERYONE[:1]).shape == (1, 5)


def test_histories_over_another_catalogue_name_both_sizes() -> None:
    with pytest.raises(DataError, match="the histories are over 41 items, the model was trained on 40"):
        trained("ease", few_items()).fold_in(Interactions.of([0], [40], 1, 41))


def test_a_task_over_another_catalogue_names_both_sizes(planted_split: Split) -> None:
    valid = RankingTask.valid(planted_split.train, planted_split.valid, inductive=True)
    with pytest.raises(DataError, match="the training set has 41 items, the ranking task 40"):
        Inductive(unfitted("ease")).fit(Interactions.of([0], [40], 1, 41), valid, CPU)


def test_unfitted_model_says_so(planted_split: Split) -> None:
    model = Inductive(unfitted("ease"))
    for act in (lambda: model.fold_in(planted_split.train), lambda: model.state()):
        with pytest.raises(NotFittedError, match="EASE must be fitted or loaded before it can score"):
            act()


def test_only_sets_with_users_of_their_own_are_read_so() -> None:
    model = unfitted("ease")
    assert over_mentioned_items(model, inductive=False) is model
    assert isinstance(over_mentioned_items(model, inductive=True), Inductive)


@given(st.data())
def test_a_smaller_catalogue_keeps_who_has_what(data: st.DataObject) -> None:
    pairs = sorted(data.draw(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6)))))
    items = sorted(data.draw(st.sets(st.integers(0, 6), min_size=1)))
    whole = Interactions.of([user for user, _ in pairs], [item for _, item in pairs], 5, 7)
    part = whole.among(np.array(items, dtype=np.int32))
    assert (part.n_users, part.n_items) == (5, len(items))
    named = [(user, items[item]) for user, item in zip(part.users.tolist(), part.items.tolist(), strict=True)]
    assert named == [(user, item) for user, item in pairs if item in items]


def test_a_smaller_task_is_measured_against_the_whole_one() -> None:
    """Two items to find, one of them unknown: first place is worth 1 of an ideal of 1 + 1 / log2(3)."""
    seen, target = Interactions.of([0], [0], 2, 4), Interactions.of([0, 0, 1], [1, 3, 3], 2, 4)
    task = RankingTask(seen, target).among(np.array([0, 1, 2], dtype=np.int32))
    score = lambda users: np.tile(np.array([[0.0, 2.0, 1.0]], dtype=np.float32), (len(users), 1))  # noqa: E731
    measured = task.per_user(score, (2,))
    assert measured["ndcg@2"] == pytest.approx([1 / (1 + 1 / np.log2(3)), 0])
    assert measured["recall@2"].tolist() == [0.5, 0]
    assert task.of(np.array([1], dtype=np.int32)).users.tolist() == [1]
