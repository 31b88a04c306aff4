"""Products of a sparse table of items × users, whose entries change from step to step."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.condensation._kernels import add_scaled_rows, pair_products
from dconrec_core.types import FloatArray

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Kept:
    """Where a table ``[n, m]`` of items × users is not 0, by item: products at the cost of those entries.

    Args:
        items: int64 ``[k]``, increasing.
        users: int64 ``[k]``.
        first: Where an item's begin, ``[n + 1]``.
        n_users: Columns, m.
    """

    items: Places
    users: Places
    first: Places
    n_users: int

    @classmethod
    def of(cls, table: torch.Tensor) -> "Kept":
        """Of a table ``[n, m]``."""
        n_items, n_users = table.shape
        items, users = np.divmod(np.flatnonzero((table != 0).numpy()), n_users)
        return cls(items, users, np.searchsorted(items, np.arange(n_items + 1)), n_users)

    def values(self, table: torch.Tensor) -> FloatArray:
        """The table's values there, ``[k]``."""
        return np.asarray(table.detach().numpy()[self.items, self.users])

    def times(self, values: FloatArray, table: torch.Tensor) -> torch.Tensor:
        """The table ``[n, m]`` with these values ``[k]`` times a dense one ``[m, ·]``: ``[n, ·]``."""
        out = torch.zeros(len(self.first) - 1, table.shape[1])
        add_scaled_rows(self.items, self.users, values, table.contiguous().numpy(), out.numpy())
        return out

    def transposed_times(self, values: FloatArray, table: torch.Tensor) -> torch.Tensor:
        """Its transpose ``[m, n]`` times a dense one ``[n, ·]``: ``[m, ·]``."""
        out = torch.zeros(self.n_users, table.shape[1])
        add_scaled_rows(self.users, self.items, values, table.contiguous().numpy(), out.numpy())
        return out

    def pairs(self, left: FloatArray, right: FloatArray) -> torch.Tensor:
        """Lᵀ R of two tables ``[n, m]`` with these values ``[k]`` each: ``[m, m]``."""
        out = torch.zeros(self.n_users, self.n_users)
        pair_products(self.users, self.first, left, right, out.numpy())
        return out
