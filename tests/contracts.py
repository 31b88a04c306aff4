"""What every registered model and every registered condenser must do; the contract tests run over the registries."""

from typing import Any

import numpy as np

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.augment import build_pool
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS, Recommender
from dconrec_core.options import RunOptions
from dconrec_core.ranking import Scorer
from dconrec_core.training import History
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions, Split

QUICK: dict[str, dict[str, Any]] = {
    "bprmf": {"embedding_size": 16, "epochs": 60, "weight_decay": 0.01},
    "lightgcn": {"embedding_size": 16, "epochs": 40, "batch_size": 256},
    "ngcf": {"embedding_size": 16, "epochs": 40, "batch_size": 128},
    "xsimgcl": {"embedding_size": 16, "epochs": 40, "batch_size": 128, "noise": 0.1, "contrast_weight": 0.05},
    "multvae": {"hidden_size": 32, "latent_size": 8, "epochs": 60, "batch_size": 20, "annealing_epochs": 20},
    "ease": {"regularization": [10.0, 100.0]},
    "ridge": {"regularization": [1.0, 10.0]},
    "graph-filter": {"rank": 8},
    "dconrec": {"outer_epochs": 6, "passes": 3, "refresh": 3, "warm_epochs": 5, "tail_threshold": 0},
    "auto": {"steps": 40},
    "synthetic-users": {"steps": 60, "batch_size": 30, "looks": 3, "rank": 8, "starts": 1},
    "synthetic-users-policy": {"steps": 60, "batch_size": 30, "looks": 3, "rank": 8, "starts": 1},
    "dconrec-paper": {"outer_epochs": 4, "tail_threshold": 0},
    "forgetting": {"proxy_epochs": 5, "proxy_size": 8},
    "loss": {"proxy_epochs": 5, "proxy_size": 8},
    "herding": {"proxy_epochs": 5, "proxy_size": 8},
    "k-centre": {"proxy_epochs": 5, "proxy_size": 8},
    "gradient-matching": {"proxy_epochs": 4, "proxy_size": 8, "steps": 15},
}
"""Settings that keep a test short; a new entry of a registry is tested with its defaults until it has some here."""


def fitted(name: str, split: Split, seed: int = 0, **settings: Any) -> tuple[Recommender, History]:
    """A model of the registry, fitted on ``split.train``."""
    entry = MODELS[name]
    model = entry.build(entry.configure(name, {**QUICK.get(name, {}), **settings}))
    options = RunOptions(seed=seed, device="cpu", label=name)
    return model, model.fit(split.train, RankingTask.valid(split.train, split.valid), options)


def taste_share(model: Scorer, interactions: Interactions, k: int = 5, inductive: bool = False) -> float:
    """Share of the first ``k`` unseen items that have the user's parity: 1 is right, 1/2 is chance."""
    task = RankingTask(interactions, interactions, interactions if inductive else None)
    return float((task.rank(task.score_of(model), k) % 2 == task.users[:, None] % 2).mean())


def made_up_users(n_users: int = 6, n_items: int = 40) -> Interactions:
    """What a condensed set of users who never were may be: each has three quarters of the items of one taste."""
    rng = np.random.default_rng(3)
    liked = [2 * rng.permutation(n_items // 2)[: 3 * n_items // 8] + user % 2 for user in range(n_users)]
    return Interactions.of(np.repeat(np.arange(n_users), 3 * n_items // 8), np.concatenate(liked), n_users, n_items)


def planted_pool(split: Split) -> CandidatePool:
    """Observed interactions and pseudo ones of the user's own taste and of the other, with a teacher that knows."""
    items = np.arange(split.train.n_items)

    def score(users: np.ndarray) -> np.ndarray:
        alike = users[:, None] % 2 == items % 2
        return np.asarray(alike + 0.01 * np.cos(items), dtype=np.float32)

    return build_pool(score, split.train, 0.5, 5, RunOptions())


def noisy_pool(split: Split) -> CandidatePool:
    """As many pseudo interactions of the wrong taste as observed ones of the right, and a teacher without opinion."""
    train, rng = split.train, np.random.default_rng(5)
    wrong = [
        (user, item)
        for user in range(train.n_users)
        for item in rng.permutation(np.arange(1 - user % 2, train.n_items, 2))[: train.user_degree[user]]
    ]
    users, items = np.array(wrong).T
    pairs = Interactions.of(
        np.concatenate((train.users, users)), np.concatenate((train.items, items)), train.n_users, train.n_items
    )
    return CandidatePool(pairs, train.contains(pairs), np.zeros(len(pairs), dtype=np.float32))


def condensed(name: str, pool: CandidatePool, split: Split, ratio: float, seed: int = 0) -> CondensedDataset:
    """What a condenser of the registry makes of a pool."""
    entry = CONDENSERS[name]
    condenser = entry.build(entry.configure(name, QUICK.get(name, {})))
    budget = Budget.from_ratio(ratio, split.train)
    return condenser.condense(pool, split.valid, budget, RunOptions(seed=seed, device="cpu", label=name))
