"""Linear autoencoders solved over users and over items: the same model, equal to dense algebra."""

import numpy as np
import pytest
import torch

import dconrec_core.models._linear as linear
from dconrec_core.errors import TrainingError
from dconrec_core.models._algebra import with_history
from dconrec_core.models._linear import ItemSpace, UserSpace
from dconrec_core.models.ease import EASE, EASEConfig, ease_by_users, ease_weights, lower_gram
from dconrec_core.models.ridge import Ridge, RidgeConfig
from dconrec_core.options import RunOptions
from dconrec_core.ranking import DotProducts
from dconrec_core.types import Interactions

CPU, OPTIONS = torch.device("cpu"), RunOptions(device="cpu")
EVERYONE = np.arange(60, dtype=np.int32)


def drawn(n_users: int, n_items: int, share: float, seed: int = 0) -> Interactions:
    """Interactions at random; the first user and the first item have none."""
    present = np.random.default_rng(seed).random((n_users, n_items)) < share
    present[0], present[:, 0] = False, False
    return Interactions.of(*np.nonzero(present), n_users, n_items)


HISTORIES = drawn(61, 40, 0.3, seed=5).csr()[1:]  # none of them is empty


def many_times(train: Interactions, times: int) -> Interactions:
    """Every user ``times`` times."""
    copies = np.arange(times).repeat(len(train)) * train.n_users
    return Interactions.of(
        np.tile(train.users, times) + copies, np.tile(train.items, times), train.n_users * times, train.n_items
    )


@pytest.mark.parametrize("model", [
    EASE(EASEConfig(relative=True, regularization=[2.0])),
    Ridge(RidgeConfig(relative=True, regularization=[2.0], input_exponent=0, output_exponent=0)),
])  # fmt: skip
def test_relative_penalties_mean_the_same_on_sets_of_any_size(model: EASE | Ridge) -> None:
    scores = []
    for train in (drawn(50, 40, 0.3), many_times(drawn(50, 40, 0.3), 7)):
        model.fit(train, None, OPTIONS)
        scores.append(model.solution.scores(HISTORIES)(EVERYONE))
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_relative_penalty_is_in_mean_squared_lengths_of_the_items_that_occur() -> None:
    train = drawn(50, 40, 0.3)
    relative, absolute = (
        EASE(EASEConfig(relative=True, regularization=[2.0])),
        EASE(EASEConfig(regularization=[2.0 * len(train) / 39])),
    )
    for model in (relative, absolute):
        model.fit(train, None, OPTIONS)
    np.testing.assert_allclose(relative.score(EVERYONE[:50]), absolute.score(EVERYONE[:50]), atol=1e-5)


@pytest.mark.parametrize("penalty", [0.5, 10.0, 300.0])
def test_ease_over_users_is_ease_over_items(penalty: float) -> None:
    train = drawn(30, 40, 0.3)
    rows = with_history(train.csr())
    gram = (rows @ rows.T).toarray().astype(np.float64)
    by_users = ease_by_users(rows, gram, penalty, CPU, np.ones(rows.shape[1]))
    by_items = ItemSpace(ease_weights(lower_gram(train), penalty, CPU))
    expected = by_items.scores(HISTORIES)(EVERYONE)
    np.testing.assert_allclose(by_users.scores(HISTORIES)(EVERYONE), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(15, 40), (60, 40)])
def test_weighted_ease_is_ease_of_weighted_interactions_from_either_side(shape: tuple[int, int]) -> None:
    train = drawn(*shape, 0.3)
    model = EASE(EASEConfig(regularization=[5.0], input_exponent=0.4, output_exponent=0.1))
    model.fit(train, None, OPTIONS)
    popularity = train.item_degree + 1.0
    rows = train.csr().toarray() * popularity**-0.4
    inverse = np.linalg.inv(rows.T @ rows + 5 * np.eye(40))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    expected = HISTORIES @ (weights * popularity**0.3)
    assert model.solution is not None
    np.testing.assert_allclose(model.solution.scores(HISTORIES)(EVERYONE), expected, atol=1e-4)
    again = EASE(EASEConfig(regularization=[5.0], input_exponent=0.4, output_exponent=0.1))
    again.load_state(model.state())
    users = np.arange(shape[0], dtype=np.int32)
    assert again.score(users).tobytes() == model.score(users).tobytes()


@pytest.mark.parametrize(("n_users", "kind"), [(20, UserSpace), (21, ItemSpace)])
def test_ease_is_solved_over_users_where_they_are_fewer_than_half_of_the_items(n_users: int, kind: type) -> None:
    """One of the users is empty and does not count: 19 of 40 are fewer, 20 are not."""
    model = EASE(EASEConfig(regularization=[10.0]))
    model.fit(drawn(n_users, 40, 0.3), None, OPTIONS)
    assert isinstance(model.solution, kind)
    assert ("weights" in model.state()) == (kind is ItemSpace)


@pytest.mark.parametrize("shape", [(15, 40), (60, 40)])
def test_ease_on_its_own_users_and_on_others_is_the_dense_solution(shape: tuple[int, int]) -> None:
    train = drawn(*shape, 0.3)
    rows = train.csr().toarray().astype(np.float64)
    inverse = np.linalg.inv(rows.T @ rows + 5 * np.eye(40))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = EASE(EASEConfig(regularization=[5.0]))
    model.fit(train, None, OPTIONS)
    users = np.arange(1, len(rows), dtype=np.int32)  # the first has no history, and gets what is popular
    np.testing.assert_allclose(model.score(users), (rows @ weights)[1:], atol=1e-5)
    others = drawn(9, 40, 0.2, seed=8)
    with pytest.warns(RuntimeWarning, match="1 of 9"):
        got = model.fold_in(others)(np.arange(1, 9, dtype=np.int32))
    np.testing.assert_allclose(got, (others.csr() @ weights)[1:], atol=1e-5)


def dense_ridge(train: Interactions, histories: np.ndarray, config: RidgeConfig) -> np.ndarray:
    """The formula as it is written, over all users with a history, float64."""
    c = train.csr().toarray().astype(np.float64)
    c = c[c.sum(axis=1) > 0]
    p, r = c.sum(axis=0) + config.smoothing, c.sum(axis=1) + 1
    f = np.diag(r**-config.user_exponent) @ c @ np.diag(p**-config.input_exponent)
    y = c @ np.diag(p**-config.output_exponent)
    inverse = np.linalg.inv(f @ f.T + config.regularization[0] * np.eye(len(c)))
    leverage = np.diag(f.T @ inverse @ f)
    return np.asarray(histories @ f.T @ inverse @ y * (1 - leverage) ** -config.leverage_exponent)


@pytest.mark.parametrize(
    "settings", [{}, {"user_exponent": 0, "input_exponent": 0.7, "smoothing": 3}, {"leverage_exponent": 0.6}]
)
@pytest.mark.parametrize(("n_users", "kind"), [(41, UserSpace), (42, ItemSpace), (200, ItemSpace)])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_ridge_is_the_dense_solution_from_either_side(
    penalty: float, n_users: int, kind: type, settings: dict[str, float]
) -> None:
    train = drawn(n_users, 40, 0.3)
    config = RidgeConfig.model_validate({"regularization": [penalty], **settings})
    model = Ridge(config)
    model.fit(train, None, OPTIONS)
    assert isinstance(model.solution, kind)
    users = np.arange(1, n_users, dtype=np.int32)  # the first has no history, and gets what is popular
    expected = dense_ridge(train, train.csr().toarray(), config)[1:]
    np.testing.assert_allclose(model.score(users), expected, atol=1e-5)
    assert isinstance(model.score, DotProducts) == (kind is UserSpace)
    got = model.solution.scores(HISTORIES)(EVERYONE)
    np.testing.assert_allclose(got, dense_ridge(train, HISTORIES.toarray(), config), atol=1e-5)


def test_ridge_of_one_interaction_hand_worked() -> None:
    """F = 2^-c 2^-a and Y = 2^-b of one user and one item, so that its history scores 2^-(a + b + c) / (F² + λ)."""
    one = Interactions.of([0], [0], 1, 1)
    model = Ridge(RidgeConfig(regularization=[0.75], input_exponent=0.5, user_exponent=0.5, output_exponent=1))
    model.fit(one, None, OPTIONS)
    assert model.score(np.zeros(1, dtype=np.int32)) == pytest.approx(0.25 / (0.25 + 0.75))


def test_ridge_refuses_what_it_could_not_invert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dconrec_core.models.ridge.MOST", 30)
    Ridge(RidgeConfig()).fit(drawn(31, 40, 0.3), None, OPTIONS)
    message = "ridge inverts a matrix over the fewer of 31 users and 40 items, at most 30; train it on fewer users"
    with pytest.raises(TrainingError, match=message):
        Ridge(RidgeConfig()).fit(drawn(32, 40, 0.3), None, OPTIONS)


def test_ease_refuses_what_it_could_not_invert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dconrec_core.models.ease.MOST_ITEMS", 40)
    monkeypatch.setattr("dconrec_core.models.ease.MOST_USERS", 18)
    for n_users, n_items in ((31, 40), (19, 50)):  # the first user has no history
        EASE(EASEConfig()).fit(drawn(n_users, n_items, 0.3), None, OPTIONS)
    with pytest.raises(TrainingError, match="ease inverts a matrix over 41 items, at most 40; choose graph-filter"):
        EASE(EASEConfig()).fit(drawn(31, 41, 0.3), None, OPTIONS)
    with pytest.raises(TrainingError, match="ease inverts a matrix over 19 users, at most 18; choose graph-filter"):
        EASE(EASEConfig()).fit(drawn(20, 50, 0.3), None, OPTIONS)
    monkeypatch.setattr("dconrec_core.models.ease.MOST_USERS", 24)
    EASE(EASEConfig()).fit(drawn(25, 41, 0.3), None, OPTIONS)  # over the users, though the items would be quicker


@pytest.mark.parametrize("limits", [{"DENSE_CELLS": 0}, {"DENSE_CELLS": 60 * 14}, {"SPARSE_PRODUCT_COST": 0}])
@pytest.mark.parametrize("model", [EASE(EASEConfig(regularization=[5.0])), Ridge(RidgeConfig())])
def test_tables_too_large_or_too_sparse_to_be_dense_give_the_same_scores(
    model: EASE | Ridge, limits: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "SPARSE_PRODUCT_COST", 1e30)
    model.fit(drawn(15, 80, 0.3), None, OPTIONS)
    histories, solution = drawn(61, 80, 0.3, seed=5).csr()[1:], model.solution
    assert isinstance(solution, UserSpace)
    expected = solution.scores(histories)(EVERYONE)
    for name, limit in limits.items():
        monkeypatch.setattr(linear, name, limit)
    score = solution.scores(histories)
    assert not isinstance(score, DotProducts)
    np.testing.assert_allclose(score(EVERYONE), expected, atol=1e-6)
    assert score(EVERYONE).flags.c_contiguous
    chosen = np.array([7, 3, 7], dtype=np.int32)
    np.testing.assert_allclose(score(chosen), expected[chosen], atol=1e-6)


@pytest.mark.parametrize("name", ["ease", "ridge"])
def test_nothing_to_learn_from_scores_nothing(name: str) -> None:
    model = EASE(EASEConfig()) if name == "ease" else Ridge(RidgeConfig())
    model.fit(Interactions.of([], [], 3, 4), None, OPTIONS)
    assert model.score(np.arange(3, dtype=np.int32)).tolist() == np.zeros((3, 4)).tolist()


@pytest.mark.parametrize("name", ["ease", "ridge"])
def test_penalty_that_is_lost_in_rounding_is_named(name: str) -> None:
    """Two users who have the same make the Gram matrix singular."""
    twins = Interactions.of([0, 0, 1, 1], [0, 1, 0, 1], 2, 9)
    penalties = {"regularization": [1e-30]}
    model = EASE(EASEConfig(**penalties)) if name == "ease" else Ridge(RidgeConfig(user_exponent=0, **penalties))
    with pytest.raises(TrainingError, match="regularization 1e-30 is too small"):
        model.fit(twins, None, OPTIONS)
