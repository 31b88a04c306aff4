"""``Reader`` on the CPU, where the set is sparse, the queries are others, and every entry may be moved.

Forward, all products cost the entries that are kept, a fiftieth of the table. So do the gradients of F Fᵀ, of the
leverage and of the queries, though an entry that is not kept gets one too; only that of the last product is dense.
Tables over items are transposed, ``[n, m]``, so that the loops run along the made-up users.
"""

from typing import Any

import numpy as np
import torch

from dconrec_core.condensation._kernels import add_scaled_rows, add_sparse_rows
from dconrec_core.condensation.kept import Kept
from dconrec_core.condensation.reader import (
    Reader,
    Shown,
    activity,
    apply,
    input_scale,
    log_popularity,
    output_scale,
    sharpness,
)


class _Gram(torch.autograd.Function):
    """F Fᵀ, ``[m, m]``, of Fᵀ ``[n, m]``."""

    @staticmethod
    def forward(context: Any, inputs: torch.Tensor, kept: Kept) -> torch.Tensor:
        context.kept, context.values = kept, kept.values(inputs)
        return kept.pairs(context.values, context.values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return context.kept.times(context.values, gradient + gradient.T), None


class _Leverage(torch.autograd.Function):
    """f S fᵀ of each item's column f of F, ``[n]``, with a symmetric S ``[m, m]``."""

    @staticmethod
    def forward(context: Any, symmetric: torch.Tensor, inputs: torch.Tensor, kept: Kept) -> torch.Tensor:
        values = kept.values(inputs)
        context.kept, context.values, context.solved = kept, values, kept.times(values, symmetric)
        products = values * context.solved.numpy()[kept.items, kept.users]
        return torch.from_numpy(np.bincount(kept.items, products, len(inputs)).astype(np.float32))

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        kept, values = context.kept, context.values
        by_matrix = kept.pairs(values * gradient.numpy()[kept.items], values)
        return by_matrix, context.solved * (2 * gradient)[:, None], None


class _Queries(torch.autograd.Function):
    """x Fᵀ of the shown histories x, ``[B, m]``."""

    @staticmethod
    def forward(context: Any, inputs: torch.Tensor, kept: Kept, shown: Shown) -> torch.Tensor:
        context.shown, context.n_items = shown, len(inputs)
        out = torch.zeros(shown.n_users, kept.n_users)
        add_sparse_rows(shown.rows, shown.columns, kept.users, kept.first, kept.values(inputs), out.numpy())
        return out

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        shown, out = context.shown, torch.zeros(context.n_items, gradient.shape[1])
        ones = np.ones(len(shown.rows), dtype=np.float32)
        add_scaled_rows(shown.columns, shown.rows, ones, gradient.contiguous().numpy(), out.numpy())
        return out, None, None


class _Scores(torch.autograd.Function):
    """Yᵀ Qᵀ of the outputs Yᵀ ``[n, m]`` and queries Q ``[B, m]``: ``[n, B]``."""

    @staticmethod
    def forward(context: Any, outputs: torch.Tensor, queries: torch.Tensor, kept: Kept) -> torch.Tensor:
        context.kept, context.values = kept, kept.values(outputs)
        context.save_for_backward(queries)
        return kept.times(context.values, queries.T)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (queries,) = context.saved_tensors
        return gradient @ queries, context.kept.transposed_times(context.values, gradient).T, None


class CompiledReader(Reader):
    """The same numbers, scores and gradients, at the cost of what is kept."""

    def logits(self, histories: torch.Tensor, shown: Shown) -> torch.Tensor:
        """See ``Reader.logits``."""
        known, transposed = self.parameters, histories.T.contiguous()
        kept = Kept.of(transposed.detach())
        popularity = log_popularity(known, transposed.sum(dim=1))
        inputs = transposed * input_scale(known, popularity)[:, None] * activity(known, transposed.sum(dim=0))
        gram = apply(_Gram, inputs, kept) + known["log_regularization"].exp() * self.identity
        inverse = torch.linalg.inv(gram)
        leverage = apply(_Leverage, inverse, inputs, kept)
        queries = apply(_Queries, inputs, kept, shown) @ inverse * sharpness(known, shown.lengths)[:, None]
        outputs = transposed * output_scale(known, popularity, leverage)[:, None]
        return apply(_Scores, outputs, queries, kept)


def reader_on(n_users: int, device: torch.device) -> Reader:
    """The reader for a device.

    Args:
        n_users: Made-up users, m.
        device: Where the set lies.
    """
    return CompiledReader(n_users, device) if device.type == "cpu" else Reader(n_users, device)
