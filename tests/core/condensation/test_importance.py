"""What a proxy found hard: hand-worked events and shares, and wrong interactions planted among right ones."""

import numpy as np
import pytest

from dconrec_core.condensation.importance import Forgetting, ForgettingConfig, Loss, LossConfig, forgetting_events
from dconrec_core.condensation.proxy import ProxyConfig, inverse_auc, pairwise_loss, trained_proxy
from dconrec_core.models.bprmf import BPRMFConfig, Factors
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.sampling import several_negatives
from dconrec_core.types import Budget, CandidatePool, Interactions, Split
from tests.contracts import noisy_pool

QUICK = {"proxy_epochs": 15, "proxy_size": 16}


def test_forgetting_events_hand_worked() -> None:
    histories = ["0000", "1111", "0101", "1010", "1001", "0111", "1000"]
    learnt = np.array([[known == "1" for known in history] for history in histories]).T
    assert forgetting_events(learnt).tolist() == [4, 0, 1, 2, 1, 0, 1]


def test_nothing_is_forgotten_in_one_epoch() -> None:
    assert forgetting_events(np.array([[True, False]])).tolist() == [0, 1]


def on_a_line() -> tuple[Factors, np.ndarray]:
    """User 0 has items 1 and 3 of four that score 0, 1, 2, 3; user 1, of the opposite taste, has item 0."""
    train = Interactions.of([0, 0, 1], [1, 3, 0], 2, 4)
    factors = Factors(train, BPRMFConfig(embedding_size=1), np.random.default_rng(0))
    factors.users = np.array([[1.0], [-1.0]], dtype=np.float32)
    factors.items = np.arange(4, dtype=np.float32)[:, None]
    return factors, np.array([[0, 2], [0, 2], [1, 3]], dtype=np.int32)


def test_inverse_auc_hand_worked() -> None:
    assert inverse_auc(*on_a_line()).tolist() == [0.5, 0, 0]


def test_an_item_that_scores_as_high_counts_against_it() -> None:
    factors, _ = on_a_line()
    factors.items[:] = 1
    assert inverse_auc(factors, np.full((3, 1), 2, dtype=np.int32)).tolist() == [1, 1, 1]


def test_pairwise_loss_hand_worked() -> None:
    margins = np.array([[1, -1], [3, 1], [1, 3]])
    assert pairwise_loss(*on_a_line()) == pytest.approx(np.log1p(np.exp(-margins)).mean(axis=1), rel=1e-5)


def test_negatives_are_items_the_user_does_not_have(planted_split: Split) -> None:
    train = planted_split.train
    negatives = several_negatives(train, train.users, 3, np.random.default_rng(0))
    assert negatives.shape == (len(train), 3)
    assert not train.csr().toarray()[train.users[:, None], negatives].any()


def test_the_proxy_tells_of_its_epochs_and_learns(planted_split: Split) -> None:
    heard: list[EpochEvent] = []
    options = RunOptions(label="a proxy", on_epoch=heard.append)
    proxy = trained_proxy(planted_split.train, ProxyConfig(**QUICK), np.random.default_rng(0), options)
    assert [(event.label, event.epoch, event.total) for event in heard] == [("a proxy", n, 15) for n in range(1, 16)]
    assert heard[-1].metrics["proxy_loss"] < 0.8 * heard[0].metrics["proxy_loss"]
    assert proxy.users.shape == (60, 16)


def wrong_share(condenser: Forgetting | Loss, split: Split) -> float:
    """Share of the kept that are of the other taste, where every eighth is; mean over three seeds."""
    pool = noisy_pool(split)
    some = np.sort(np.concatenate((np.flatnonzero(pool.observed), np.flatnonzero(~pool.observed)[::7])))
    train = pool.interactions.take(some)
    noisy = CandidatePool(train, np.ones(len(train), dtype=bool), np.zeros(len(train), dtype=np.float32))
    budget = Budget(len(train) // 4)
    kept = [condenser.condense(noisy, split.valid, budget, RunOptions(seed=seed)).interactions for seed in range(3)]
    return float(np.mean([(one.users % 2 != one.items % 2).mean() for one in kept]))


@pytest.mark.parametrize(
    ("condenser", "least", "most"),
    [
        (Loss(LossConfig(**QUICK)), 0.24, 1),
        (Loss(LossConfig(measure="bpr", **QUICK)), 0.3, 1),
        (Loss(LossConfig(keep="easiest", **QUICK)), 0, 0.07),
        (Loss(LossConfig(measure="bpr", keep="easiest", **QUICK)), 0, 0.03),
        (Forgetting(ForgettingConfig(**QUICK)), 0.17, 1),
        (Forgetting(ForgettingConfig(negatives=4, **QUICK)), 0.2, 1),
    ],
    ids=["auc", "bpr", "easiest-auc", "easiest-bpr", "forgetting", "forgetting-of-four"],
)
def test_wrong_interactions_are_the_hard_ones(
    condenser: Forgetting | Loss, least: float, most: float, planted_split: Split
) -> None:
    share = wrong_share(condenser, planted_split)
    assert least <= share <= most, share
