"""The sparse reader is the dense one: same scores, same gradients, at every cell and for every number."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.condensation.reader import Reader
from dconrec_core.condensation.sparse_reader import Cells, SparseReader
from dconrec_core.rng import numpy_rng

Sides = tuple[torch.Tensor, torch.Tensor, dict[str, float]]


def both(table: np.ndarray, keep: np.ndarray, target: torch.Tensor) -> tuple[Sides, Sides]:
    """Scores, gradients by cell and gradients by number, of the dense and of the sparse reader."""
    rows, columns = np.nonzero(table)
    kept = keep[rows, columns]
    dense, sparse = Reader(len(table), torch.device("cpu")), SparseReader()

    entries = torch.from_numpy(kept.astype(np.float32)).requires_grad_(True)
    flat = torch.from_numpy(rows * table.shape[1] + columns)
    histories = torch.zeros(table.size).scatter(0, flat, entries).view(table.shape)
    wanted = side(dense.scores(histories, histories.T).T, entries, dense.parameters, target)

    entries = torch.from_numpy(kept.astype(np.float32)).requires_grad_(True)
    cells = Cells.of(rows, columns, kept, table.shape)
    return wanted, side(sparse.logits(entries, cells).T, entries, sparse.parameters, target)


def side(scores: torch.Tensor, entries: torch.Tensor, numbers: dict[str, torch.Tensor], target: torch.Tensor) -> Sides:
    (-(torch.log_softmax(scores, dim=1) * target).sum() / len(target)).backward()
    assert entries.grad is not None
    grads = {name: number.grad for name, number in numbers.items()}
    return scores.detach(), entries.grad, {name: 0.0 if grad is None else float(grad) for name, grad in grads.items()}


@given(
    seed=st.integers(0, 10_000),
    n_users=st.integers(1, 30),
    n_items=st.integers(2, 40),
    density=st.floats(0, 1),
    share=st.floats(0, 1),
)
def test_it_is_the_dense_reader(seed: int, n_users: int, n_items: int, density: float, share: float) -> None:
    rng = numpy_rng(seed, "cells")
    table, keep = rng.random((n_users, n_items)) < density, rng.random((n_users, n_items)) < share
    target = torch.from_numpy(rng.dirichlet(np.ones(n_items), n_users).astype(np.float32))
    (scores, by_cell, by_number), (scores_found, by_cell_found, by_number_found) = both(table, keep, target)
    torch.testing.assert_close(scores_found, scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(by_cell_found, by_cell, rtol=1e-3, atol=1e-5)
    assert by_number_found == pytest.approx(by_number, rel=1e-3, abs=1e-4)


def test_cells_sum_by_user_and_by_item() -> None:
    cells = Cells.of(np.array([0, 0, 2]), np.array([1, 3, 1]), np.array([True, False, True]), (3, 4))
    values = torch.tensor([1.0, 2.0, 4.0])
    assert cells.by_row(values).tolist() == [3, 0, 4]
    assert cells.by_column(values).tolist() == [0, 5, 0, 2]
    assert (cells.n_users, cells.n_items) == (3, 4)
    assert (cells.places.tolist(), cells.kept.first.tolist()) == ([0, 2], [0, 0, 2, 2, 2])
    assert (cells.kept.items.tolist(), cells.kept.users.tolist()) == ([1, 1], [0, 2])
