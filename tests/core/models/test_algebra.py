"""Products of sparse matrices and inverses, against dense ones."""

import numpy as np
import pytest
import torch
from scipy import sparse

import dconrec_core.models._algebra as algebra
from dconrec_core.models._algebra import inner_products, left_singular_vectors, ridge_inverse, scaled
from tests.core.models.test_linear import drawn

CPU = torch.device("cpu")


@pytest.mark.parametrize("cost", [0, 1e30])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_inner_products_by_either_kind_of_product(cost: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algebra, "SPARSE_COST", cost)
    monkeypatch.setattr(algebra, "BLOCK_CELLS", block)
    left, right = (drawn(n, 40, 0.2, seed=n).csr().astype(np.float64) for n in (7, 12))
    left.data[:] = np.random.default_rng(0).normal(size=len(left.data))
    got = inner_products(left, right)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, left.toarray() @ right.toarray().T, atol=1e-12)


def test_scaled_by_columns_and_rows() -> None:
    matrix = sparse.csr_array(np.array([[1, 0, 1], [0, 1, 1]], dtype=np.float32))
    got = scaled(matrix, np.array([1.0, 2.0, 3.0]), np.array([10.0, 100.0]))
    assert got.toarray().tolist() == [[10, 0, 30], [0, 200, 300]]
    assert scaled(matrix, np.array([1.0, 2.0, 3.0])).toarray().tolist() == [[1, 0, 3], [0, 2, 3]]


def test_left_singular_vectors_are_the_dense_ones_but_for_their_signs() -> None:
    rng = np.random.default_rng(0)
    tall = rng.normal(size=(50, 4)) @ np.diag([5.0, 3.0, 1.0, 0.01]) @ rng.normal(size=(4, 6))  # of rank 4
    got, expected = left_singular_vectors(tall), np.linalg.svd(tall)[0][:, :4]
    np.testing.assert_allclose(np.abs(got.T @ expected), np.eye(4), atol=1e-6)
    np.testing.assert_allclose(got.T @ got, np.eye(4), atol=1e-9)
    assert left_singular_vectors(np.zeros((5, 3))).shape == (5, 0)


@pytest.mark.parametrize("device", [CPU, torch.device("cpu", 0)])
def test_inverse_is_the_dense_one(device: torch.device) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 20))
    gram = rows @ rows.T
    expected = np.linalg.inv(gram + 0.3 * np.eye(9))
    np.testing.assert_allclose(ridge_inverse(gram.copy(), 0.3, device), expected, atol=1e-10)
