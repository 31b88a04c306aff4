"""The inner solution against the models that it stands for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.compiled_reader import CompiledReader, reader_on
from dconrec_core.condensation.reader import Reader, Shown
from dconrec_core.models import MODELS
from dconrec_core.options import RunOptions
from dconrec_core.types import Interactions

rng = np.random.default_rng(2)
TABLE = (rng.random((12, 30)) < 0.3).astype(np.float32)
VISIBLE = (rng.random((5, 30)) < 0.2).astype(np.float32)


def shown(visible: np.ndarray) -> Shown:
    rows, columns = np.nonzero(visible)
    return Shown(rows, columns, *visible.shape)


@pytest.fixture(params=[Reader, CompiledReader])
def reader(request: pytest.FixtureRequest) -> Reader:
    return request.param(len(TABLE), torch.device("cpu"))


def reading(reader: Reader, **values: float) -> np.ndarray:
    """Scores of ``VISIBLE`` with these numbers, every other exponent 0, the sharpness 1 and the length divided out."""
    for name, parameter in reader.parameters.items():
        parameter.data.fill_(values.get(name, 0.0))
    scores = reader.logits(torch.from_numpy(TABLE), shown(VISIBLE)).detach().numpy().T
    return scores * np.sqrt(VISIBLE.sum(axis=1, keepdims=True))


def folded(model: str, **settings: object) -> np.ndarray:
    built = MODELS[model].build(MODELS[model].configure(model, settings))
    users, items = np.nonzero(TABLE)
    built.fit(Interactions.of(users, items, *TABLE.shape), None, RunOptions(device="cpu"))
    users, items = np.nonzero(VISIBLE)
    return built.fold_in(Interactions.of(users, items, *VISIBLE.shape))(np.arange(len(VISIBLE), dtype=np.int32))


def test_it_is_ease_where_nothing_is_normalised_and_leverage_is_divided_out(reader: Reader) -> None:
    ours = reading(reader, leverage_exponent=1.0, log_regularization=math.log(7.0))
    unseen = VISIBLE == 0
    np.testing.assert_allclose(ours[unseen], folded("ease", regularization=[7.0])[unseen], rtol=1e-3, atol=1e-5)


def test_it_is_ridge_where_leverage_is_left(reader: Reader) -> None:
    numbers = {"input_exponent": 0.2, "output_exponent": 0.6, "user_exponent": 0.4}
    ours = reading(reader, **numbers, log_smoothing=math.log(0.7), log_regularization=math.log(3.0))
    theirs = folded("ridge", regularization=[3.0], smoothing=0.7, **numbers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_settings_are_those_of_ridge_which_takes_a_list_of_penalties() -> None:
    settings = Reader(3, torch.device("cpu")).settings()
    assert settings["regularization"] == pytest.approx(10.0)
    assert settings["smoothing"] == pytest.approx(1.0)
    assert {"input_exponent", "output_exponent", "user_exponent"} <= settings.keys()
    config = MODELS["ridge"].configure("ridge", {**settings, "regularization": [settings["regularization"]]})
    assert config.regularization == pytest.approx([10.0])


def test_gradients_reach_the_histories_and_every_number(reader: Reader) -> None:
    histories = torch.from_numpy(TABLE).requires_grad_(True)
    reader.logits(histories, shown(VISIBLE)).square().sum().backward()
    assert histories.grad is not None
    assert torch.isfinite(histories.grad).all()
    assert all(parameter.grad is not None and parameter.grad.abs() > 0 for parameter in reader.parameters.values())


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(2, 40),
    st.integers(1, 12),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_compiled_reader_is_the_dense_one(seed: int, m: int, n: int, size: int, full: float, seen: float) -> None:
    """In scores and in all gradients, also by entries that the set has not, with empty users and items."""
    draw = np.random.default_rng(seed)
    table = (draw.random((m, n)) < full).astype(np.float32)
    visible, weight = draw.random((size, n)) < seen, torch.from_numpy(draw.standard_normal((n, size), dtype=np.float32))

    def read(kind: type[Reader]) -> list[np.ndarray]:
        reader, histories = kind(m, torch.device("cpu")), torch.from_numpy(table).requires_grad_(True)
        for name, parameter in reader.parameters.items():
            parameter.data.fill_({"log_sharpness": 0.0, "log_regularization": 0.5}.get(name, 0.3))
        scores = reader.logits(histories, shown(visible))
        (scores * weight).sum().backward()
        assert histories.grad is not None
        by_number = [parameter.grad for parameter in reader.parameters.values()]
        return [one.detach().numpy() for one in (scores, histories.grad, *by_number)]

    for ours, oracle in zip(read(CompiledReader), read(Reader), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=2e-3, atol=2e-4 * max(1.0, float(np.abs(oracle).max())))


def test_the_device_decides_which_one_reads() -> None:
    assert type(reader_on(3, torch.device("cpu"))) is CompiledReader
    assert type(reader_on(3, torch.device("meta"))) is Reader
