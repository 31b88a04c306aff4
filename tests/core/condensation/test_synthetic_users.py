"""Made-up users carry the planted taste in a handful of interactions and refuse the impossible."""

from typing import Any, cast

import numpy as np
import pytest
import torch

from dconrec_core.condensation.histories import Lesson
from dconrec_core.condensation.synthetic_users import (
    PolicySearch,
    PolicySyntheticUsers,
    PolicySyntheticUsersConfig,
    SyntheticUsers,
    SyntheticUsersConfig,
    default_batch_size,
    default_descent,
    default_starts,
)
from dconrec_core.errors import BudgetError, ConfigError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split
from tests.contracts import planted_pool

QUICK: dict[str, Any] = {"steps": 80, "batch_size": 30, "looks": 4, "rank": 8, "starts": 1}


def made(split: Split, budget: int = 40, seed: int = 0, **settings: Any) -> tuple[CondensedDataset, list[EpochEvent]]:
    heard: list[EpochEvent] = []
    condenser = SyntheticUsers(SyntheticUsersConfig(**{**QUICK, **settings}))
    options = RunOptions(seed=seed, device="cpu", on_epoch=heard.append)
    return condenser.condense(planted_pool(split), split.valid, Budget(budget), options), heard


def fold_in_share(condensed: CondensedDataset, train: Interactions) -> float:
    """Share of the first 5 unseen items that have the real user's taste, read by a ridge autoencoder."""
    model = MODELS["ridge"].build(MODELS["ridge"].configure("ridge", {"regularization": [1.0]}))
    model.fit(condensed.interactions, None, RunOptions(device="cpu"))
    ranked = RankingTask(train, train).rank(model.fold_in(train), 5)
    return float((ranked % 2 == np.arange(train.n_users)[:, None] % 2).mean())


def test_forty_interactions_carry_the_taste_of_sixty_users(planted_split: Split) -> None:
    condensed, _ = made(planted_split, steps=240)
    assert len(condensed) == 40 < len(planted_split.train) / 10
    assert condensed.synthetic
    assert fold_in_share(condensed, planted_split.train) > 0.95


def test_it_is_kept_at_its_best_look_and_every_look_is_heard(planted_split: Split) -> None:
    condensed, heard = made(planted_split)
    assert [event.epoch for event in heard] == [20, 40, 60, 80]
    looks = {event.epoch: event.metrics["valid_ndcg@10"] for event in heard}
    assert condensed.notes["valid_ndcg@10"] == max(looks.values()) == looks[condensed.notes["kept_step"]]


def test_of_several_starts_the_best_on_valid_is_kept_and_the_first_is_that_of_one(planted_split: Split) -> None:
    _, alone = made(planted_split)
    condensed, heard = made(planted_split, starts=3)
    assert [event.epoch for event in heard] == list(range(20, 241, 20))
    assert {event.total for event in heard} == {240}
    quality = [event.metrics["valid_ndcg@10"] for event in heard]
    assert quality[:4] == [event.metrics["valid_ndcg@10"] for event in alone]
    assert condensed.notes["valid_ndcg@10"] == max(quality)
    assert condensed.notes["kept_step"] == heard[int(np.argmax(quality))].epoch


@pytest.mark.parametrize(("budget", "expected"), [(1, 5), (334, 5), (668, 2), (2_000, 1), (100_000, 1)])
def test_the_smaller_the_set_the_more_starts(budget: int, expected: int) -> None:
    assert default_starts(Budget(budget)) == expected


@pytest.mark.parametrize(("made_up", "real", "expected"), [(10, 900, 128), (422, 30_000, 422), (133, 30_000, 400)])
def test_every_real_user_is_seen_some_times_however_many_there_are(made_up: int, real: int, expected: int) -> None:
    assert default_batch_size(made_up, real) == expected


def test_few_interactions_are_moved_by_what_each_matters_and_a_setting_outweighs_that(planted_split: Split) -> None:
    assert default_descent(5_000) == (0.04, 0.5)
    assert default_descent(5_001) == (0.06, 1.0)
    by_default, heard = made(planted_split)
    said, also = made(planted_split, learning_rate=0.04, adaptivity=0.5)
    assert by_default.interactions.fingerprint() == said.interactions.fingerprint()
    assert heard == also
    for other in ({"learning_rate": 0.06}, {"adaptivity": 1.0}):
        assert made(planted_split, **other)[1] != heard


def test_the_loss_of_discrete_sets_falls(planted_split: Split) -> None:
    _, heard = made(planted_split)
    assert heard[-1].metrics["loss"] < heard[0].metrics["loss"]


def test_keep_probability_is_at_least_a_half_for_what_is_kept(planted_split: Split) -> None:
    condensed, _ = made(planted_split)
    assert condensed.keep_prob.min() >= 0.5
    assert len(np.unique(condensed.keep_prob)) > 10


def test_valid_decides_nothing_but_the_look(planted_split: Split) -> None:
    """Gradients come from train alone: with one look, valid cannot matter."""
    other = planted_split.valid.take(np.arange(len(planted_split.valid)) % 2 == 0)
    first, _ = made(planted_split, looks=1)
    second, _ = made(Split(planted_split.train, other, planted_split.test), looks=1)
    assert first.interactions.fingerprint() == second.interactions.fingerprint()


def test_items_that_nobody_has_and_nobody_is_offered_are_never_mentioned(planted_split: Split) -> None:
    pool = planted_pool(planted_split)
    pairs = pool.interactions
    wider = Interactions(pairs.users, pairs.items, pairs.n_users, pairs.n_items + 7)
    valid = Interactions(planted_split.valid.users, planted_split.valid.items, pairs.n_users, pairs.n_items + 7)
    condenser = SyntheticUsers(SyntheticUsersConfig(**QUICK))
    result = condenser.condense(
        CandidatePool(wider, pool.observed, pool.score), valid, Budget(40), RunOptions(device="cpu")
    )
    assert result.interactions.n_items == pairs.n_items + 7
    assert result.interactions.items.max() < pairs.n_items


def test_the_catalogue_it_may_mention_is_a_setting(planted_split: Split) -> None:
    condensed, _ = made(planted_split, n_items=12)
    assert len(np.unique(condensed.interactions.items)) <= 12


def test_budget_below_one_interaction_a_user_says_so(planted_split: Split) -> None:
    with pytest.raises(BudgetError, match=r"n_users is 12, the budget 10 interactions: less than one each; lower"):
        made(planted_split, budget=10, n_users=12)


def test_more_made_up_users_than_real_ones_says_so(planted_split: Split) -> None:
    with pytest.raises(ConfigError, match=r"n_users is 61, but only 60 real users have a history; lower n_users"):
        made(planted_split, budget=400, n_users=61)


def test_a_budget_of_one_is_one_user_with_one_item(planted_split: Split) -> None:
    condensed, _ = made(planted_split, budget=1)
    assert len(condensed) == condensed.interactions.n_users == 1


def test_policy_gradient_lowers_the_loss_without_differentiating_the_inner_solution(planted_split: Split) -> None:
    heard: list[EpochEvent] = []
    condenser = PolicySyntheticUsers(
        PolicySyntheticUsersConfig(**{**QUICK, "steps": 300, "n_samples": 16, "n_users": 4})
    )
    options = RunOptions(seed=0, device="cpu", on_epoch=heard.append)
    condensed = condenser.condense(planted_pool(planted_split), planted_split.valid, Budget(40), options)
    assert condensed.condenser == "synthetic-users-policy"
    assert heard[-1].metrics["loss"] < heard[0].metrics["loss"]
    assert fold_in_share(condensed, planted_split.train) > 0.9


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_the_policys_estimate_is_the_derivative_of_the_expected_loss(temperature: float) -> None:
    """Of a linear loss the expected one is known: cost · probability, under the threshold that keeps the budget."""
    cost, logits = torch.tensor([[1.0, 2, 3, 4]]).double(), torch.tensor([[1, -0.5, 0.3, 0]]).double()
    config = PolicySyntheticUsersConfig(
        steps=1, n_samples=20_000, start_temperature=temperature, end_temperature=temperature
    )

    class Linear(PolicySearch):
        def _loss(self, histories: torch.Tensor, _: Any) -> torch.Tensor:
            return (histories * cost.clone().requires_grad_()).sum()

    def expected(moved: torch.Tensor) -> float:
        low, high = moved.min() - 10, moved.max() + 10
        for _ in range(60):  # more exactly than the search needs it
            threshold = (low + high) / 2
            probability = torch.sigmoid((moved - threshold) / temperature)
            low, high = (threshold, high) if probability.sum() > 2 else (low, threshold)
        return float((probability * cost).sum())

    search = Linear(logits, 2, config, torch.Generator().manual_seed(0))
    loss, estimate = search.gradient(1, cast(Lesson, None))
    step = 0.05 * torch.eye(4).double()
    differences = [(expected(logits + one) - expected(logits - one)) / 0.1 for one in step]
    assert loss == pytest.approx(expected(logits), abs=0.05)
    assert estimate[0].tolist() == pytest.approx(differences, abs=0.04)
