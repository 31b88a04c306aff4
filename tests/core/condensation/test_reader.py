"""The inner solution against the models that it stands for."""

import math

import numpy as np
import pytest
import torch

from dconrec_core.condensation.reader import Reader
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.types import Interactions

rng = np.random.default_rng(2)
TABLE = (rng.random((12, 30)) < 0.3).astype(np.float32)
VISIBLE = (rng.random((5, 30)) < 0.2).astype(np.float32)


def reading(**values: float) -> np.ndarray:
    """Scores of ``VISIBLE`` with these numbers, every other exponent 0, the sharpness 1 and the length divided out."""
    reader = Reader(len(TABLE), torch.device("cpu"))
    for name, parameter in reader.parameters.items():
        parameter.data.fill_(values.get(name, 0.0))
    scores = reader.logits(torch.from_numpy(TABLE), torch.from_numpy(VISIBLE)).detach().numpy()
    return scores * np.sqrt(VISIBLE.sum(axis=1, keepdims=True))


def folded(model: str, **settings: object) -> np.ndarray:
    built = MODELS[model].build(MODELS[model].configure(model, settings))
    users, items = np.nonzero(TABLE)
    built.fit(Interactions.of(users, items, *TABLE.shape), None, RunOptions(device="cpu"))
    users, items = np.nonzero(VISIBLE)
    return built.fold_in(Interactions.of(users, items, *VISIBLE.shape))(np.arange(len(VISIBLE), dtype=np.int32))


def test_it_is_ease_where_nothing_is_normalised_and_leverage_is_divided_out() -> None:
    ours = reading(leverage_exponent=1.0, log_regularization=math.log(7.0))
    unseen = VISIBLE == 0
    np.testing.assert_allclose(ours[unseen], folded("ease", regularization=[7.0])[unseen], rtol=1e-3, atol=1e-5)


def test_it_is_ridge_where_leverage_is_left() -> None:
    numbers = {"input_exponent": 0.2, "output_exponent": 0.6, "user_exponent": 0.4}
    ours = reading(**numbers, log_smoothing=math.log(0.7), log_regularization=math.log(3.0))
    theirs = folded("ridge", regularization=[3.0], smoothing=0.7, **numbers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_settings_are_those_of_ridge() -> None:
    settings = Reader(3, torch.device("cpu")).settings()
    assert settings["regularization"] == pytest.approx(10.0)
    assert settings["smoothing"] == pytest.approx(1.0)
    assert {"input_exponent", "output_exponent", "user_exponent"} <= settings.keys()


def test_gradients_reach_the_histories_and_every_number() -> None:
    reader = Reader(len(TABLE), torch.device("cpu"))
    histories = torch.from_numpy(TABLE).requires_grad_(True)
    reader.logits(histories, torch.from_numpy(VISIBLE)).square().sum().backward()
    assert histories.grad is not None
    assert torch.isfinite(histories.grad).all()
    assert all(parameter.grad is not None and parameter.grad.abs() > 0 for parameter in reader.parameters.values())
