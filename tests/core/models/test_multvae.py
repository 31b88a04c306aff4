"""MultVAE: its loss against a readable version, annealing, resuming, scores from histories alone."""

import numpy as np
import pytest
import torch

import dconrec_core.models.multvae as module
from dconrec_core.models.multvae import Autoencoder, MultVAE, MultVAEConfig
from dconrec_core.options import RunOptions
from dconrec_core.training import run_epochs
from dconrec_core.types import Interactions, Split

CPU = torch.device("cpu")
SMALL = {"hidden_size": 12, "latent_size": 4, "batch_size": 16}


def trainer_of(train: Interactions, seed: int = 0, **settings: float) -> Autoencoder:
    config = MultVAEConfig.model_validate({**SMALL, **settings})
    return Autoencoder(train, config, np.random.default_rng(seed), CPU)


def everything(trainer: Autoencoder) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.state().items()}


def test_loss_is_the_negative_evidence_lower_bound(planted: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(planted, dropout=0, kl_weight=0.3, annealing_epochs=0)
    noise = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.from_numpy(noise))
    weights = {name: value.astype(np.float64) for name, value in trainer.weights().items()}

    def layer(name: str, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows @ weights[name] + weights[f"{name}.bias"])

    rows = planted.csr().toarray().astype(np.float64)
    scaled = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    mean, log_variance = np.split(layer("infer", np.tanh(layer("encode", scaled))), 2, axis=1)
    logits = layer("output", np.tanh(layer("decode", mean + noise * np.exp(log_variance / 2))))
    log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    divergence = (np.exp(log_variance) + mean**2 - 1 - log_variance).sum() / 2
    loss = trainer.loss(torch.from_numpy(rows.astype(np.float32)))
    assert loss.item() == pytest.approx(0.3 * divergence - (rows * log_shares).sum(), rel=1e-5)


def test_divergence_is_annealed_to_its_weight(planted: Interactions) -> None:
    trainer = trainer_of(planted, kl_weight=0.4, annealing_epochs=2)
    seen = []
    for _ in range(4):
        seen.append(trainer.annealed())
        trainer.epoch()
    assert seen == pytest.approx([0, 0.2, 0.4, 0.4])
    assert trainer_of(planted, kl_weight=0.4, annealing_epochs=0).annealed() == pytest.approx(0.4)


def test_annealing_counts_passes_of_which_an_epoch_may_be_several(planted: Interactions) -> None:
    trainer = trainer_of(planted, kl_weight=0.4, annealing_epochs=4, epoch_interactions=2 * len(planted), epochs=1)
    run_epochs("multvae", trainer.config, trainer, None, RunOptions())
    assert trainer.annealed() == pytest.approx(0.2)


@pytest.mark.parametrize("batch_size", [1, 16, 59, 10_000])
def test_epoch_visits_every_history_once(
    batch_size: int, planted: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(planted.take(planted.users >= 5), batch_size=batch_size)  # five users without a history
    visited: list[torch.Tensor] = []

    def step(rows: torch.Tensor) -> torch.Tensor:
        assert len(rows) <= batch_size
        visited.append(rows)
        return torch.tensor(float(len(rows)))

    monkeypatch.setattr(trainer, "step", step)
    assert trainer.epoch() == 1  # the mean of a loss of one each
    rows = torch.cat(visited).numpy()
    expected = planted.csr().toarray()[5:]
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_loss_falls_and_no_interaction_is_no_loss(planted: Interactions) -> None:
    trainer = trainer_of(planted, learning_rate=0.01)
    losses = [trainer.epoch() for _ in range(30)]
    assert losses[-1] < losses[0] - 1
    empty = trainer_of(Interactions.of([], [], 3, 4))
    assert empty.epoch() == 0
    assert np.isfinite(empty.score(np.arange(3, dtype=np.int32))).all()


def test_training_goes_on_from_its_state_to_the_same_bytes(planted: Interactions) -> None:
    through = trainer_of(planted, annealing_epochs=3)
    for _ in range(2):
        through.epoch()
    half = {name: array.copy() for name, array in through.state().items()}
    resumed = trainer_of(planted, seed=9, annealing_epochs=3)
    resumed.resume(half)
    for trainer in (through, resumed):
        for _ in range(2):
            trainer.epoch()
    assert everything(through) == everything(resumed)


def test_weights_are_copies_that_can_be_put_back(planted: Interactions) -> None:
    trainer, users = trainer_of(planted, learning_rate=0.1), np.arange(60, dtype=np.int32)
    kept, before = trainer.weights(), trainer.score(users)
    trainer.epoch()
    assert not np.allclose(trainer.score(users), before)
    trainer.restore(kept)
    np.testing.assert_array_equal(trainer.score(users), before)


def test_scores_come_from_the_history_alone(planted_split: Split) -> None:
    """Two users who had the same are scored the same, which no model with a row per user does."""
    train = planted_split.train
    first = train.items[train.users == 0]
    others = train.take(train.users != 1)
    twins = Interactions.of(
        np.concatenate((others.users, np.ones_like(first))), np.concatenate((others.items, first)), 60, 40
    )
    model = MultVAE(MultVAEConfig.model_validate({**SMALL, "epochs": 3}))
    model.fit(twins, None, RunOptions(device="cpu"))
    scores = model.score(np.array([0, 1, 2], dtype=np.int32))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    assert not np.allclose(scores[0], scores[2])


def test_histories_are_dense_a_block_at_a_time(planted: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, users = trainer_of(planted), np.arange(60, dtype=np.int32)
    whole, sizes = trainer.score(users), []
    dense_rows = module.dense_rows

    def watched(history: object, part: np.ndarray) -> torch.Tensor:
        sizes.append(len(part))
        return dense_rows(history, part)

    monkeypatch.setattr(module, "dense_rows", watched)
    monkeypatch.setattr(module, "BLOCK_CELLS", 25 * planted.n_items)
    np.testing.assert_allclose(trainer.score(users), whole, rtol=1e-5, atol=1e-6)
    assert sizes == [25, 25, 10]


def test_nothing_to_score_is_an_empty_answer(planted: Interactions) -> None:
    assert trainer_of(planted).score(np.array([], dtype=np.int32)).shape == (0, 40)
