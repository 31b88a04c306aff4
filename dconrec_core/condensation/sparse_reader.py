"""``Reader`` where its histories are sparse and are the queries too: the stand-in's batches, a hundredth full.

All entries that may be moved are known beforehand (``Cells``), and few of them are kept. So F Fᵀ costs the kept pairs
of each item, the scores the kept entries times the users, and a gradient is only taken at a cell; what stays dense is
users × users and the softmax. Tables over items are transposed, ``[n, B]``, so that the loops run along users.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.condensation._kernels import dots, sampled_products
from dconrec_core.condensation.kept import Kept, Places
from dconrec_core.condensation.reader import (
    Parameters,
    activity,
    apply,
    input_scale,
    log_popularity,
    output_scale,
    sharpness,
    start_parameters,
)
from dconrec_core.types import FloatArray


@dataclass(frozen=True)
class Cells:
    """Entries of a table of users × items, and which of them are kept.

    Args:
        rows: User of each, int64 ``[c]``.
        columns: Item of each, int64 ``[c]``.
        places: Positions of those that are not 0, by item, ``[k]``.
        kept: Where those lie.
    """

    rows: Places
    columns: Places
    places: Places
    kept: Kept

    @classmethod
    def of(cls, rows: Places, columns: Places, keep: npt.NDArray[np.bool_], shape: tuple[int, int]) -> "Cells":
        """From users, items and which are kept."""
        rows, columns = np.ascontiguousarray(rows), np.ascontiguousarray(columns)
        places = np.flatnonzero(keep)
        places = places[np.argsort(columns[places], kind="stable")]
        items = columns[places]
        first = np.concatenate(([0], np.cumsum(np.bincount(items, minlength=shape[1]))))
        return cls(rows, columns, places, Kept(items, rows[places], first, shape[0]))

    @property
    def n_users(self) -> int:
        """Rows."""
        return self.kept.n_users

    @property
    def n_items(self) -> int:
        """Columns."""
        return len(self.kept.first) - 1

    def not_0(self, values: torch.Tensor) -> FloatArray:
        """Those of the kept entries, of ``values`` ``[c]``: ``[k]``."""
        return np.asarray(values.numpy()[self.places])

    def by_row(self, values: torch.Tensor) -> torch.Tensor:
        """Sums by user, ``[B]``."""
        return torch.zeros(self.n_users).index_add(0, torch.from_numpy(self.rows), values)

    def by_column(self, values: torch.Tensor) -> torch.Tensor:
        """Sums by item, ``[n]``."""
        return torch.zeros(self.n_items).index_add(0, torch.from_numpy(self.columns), values)


class _Gram(torch.autograd.Function):
    """F Fᵀ of a table over cells, ``[B, B]``."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        context.save_for_backward(values)
        return _pairs(cells, values, values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (values,) = context.saved_tensors
        return _sampled(context.cells, gradient + gradient.T, values), None


class _Pairs(torch.autograd.Function):
    """L Rᵀ of two tables over the same cells, ``[B, B]``."""

    @staticmethod
    def forward(context: Any, left: torch.Tensor, right: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        context.save_for_backward(left, right)
        return _pairs(cells, left, right)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        left, right = context.saved_tensors
        return _sampled(context.cells, gradient, right), _sampled(context.cells, gradient.T, left), None


class _Sampled(torch.autograd.Function):
    """Entries of M F at the cells of F, ``[c]``; a gradient comes only from kept cells, and M gets one only there."""

    @staticmethod
    def forward(context: Any, matrix: torch.Tensor, values: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        context.save_for_backward(matrix, values)
        return _sampled(cells, matrix, values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        matrix, values = context.saved_tensors
        return _pairs(context.cells, gradient, values), _sampled(context.cells, matrix.T, gradient), None


class _Product(torch.autograd.Function):
    """Yᵀ W of a table over cells and a dense one ``[B, B]``: ``[n, B]``."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, table: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        context.save_for_backward(values, table)
        return cells.kept.times(cells.not_0(values), table)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        values, table = context.saved_tensors
        cells, gradient = context.cells, gradient.contiguous()
        by_cell = torch.empty_like(values)
        dots(cells.rows, cells.columns, table.contiguous().numpy(), gradient.numpy(), by_cell.numpy())
        return by_cell, cells.kept.transposed_times(cells.not_0(values), gradient), None


def _pairs(cells: Cells, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return cells.kept.pairs(cells.not_0(left), cells.not_0(right))


def _sampled(cells: Cells, matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    out, dense = torch.empty_like(values), matrix.contiguous().numpy()
    kept = cells.kept
    sampled_products(cells.rows, cells.columns, kept.users, kept.first, dense, cells.not_0(values), out.numpy())
    return out


class SparseReader:
    """The numbers of ``Reader``, read from and learned on sparse histories."""

    def __init__(self) -> None:
        self.parameters: Parameters = start_parameters(torch.device("cpu"))

    def logits(self, values: torch.Tensor, cells: Cells) -> torch.Tensor:
        """``Reader.scores(histories, histories.T)``: ``[n, B]``.

        Args:
            values: Entries of the histories, ``[c]``; 0 where a cell is not kept.
            cells: Where they lie.
        """
        known = self.parameters
        rows, columns = torch.from_numpy(cells.rows), torch.from_numpy(cells.columns)
        popularity, lengths = log_popularity(known, cells.by_column(values)), cells.by_row(values)
        inputs = values * input_scale(known, popularity)[columns] * activity(known, lengths)[rows]
        gram = apply(_Gram, inputs, cells)
        inverse = torch.linalg.inv(gram + known["log_regularization"].exp() * torch.eye(cells.n_users))
        leverage = cells.by_column(apply(_Sampled, inverse, inputs, cells) * inputs)
        weights = inverse @ apply(_Pairs, inputs, values, cells) * sharpness(known, lengths)
        scale = output_scale(known, popularity, leverage)
        return apply(_Product, values * scale[columns], weights, cells)
