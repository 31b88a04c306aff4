"""The best unseen items of each user, scored block by block."""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.by_length import BLOCK, ByLength
from dconrec_core.top_k import SHORT, top_k, top_k_of_products
from dconrec_core.types import FloatArray, IntArray, Interactions

ScoreFunction = Callable[[IntArray], FloatArray]
"""Users int32 ``[B]`` to scores float32 ``[B, n_items]``."""


class Scorer(Protocol):
    """What scores users: a fitted model, or one in training."""

    @property
    def score(self) -> ScoreFunction:
        """Scores of the users it was trained on, by their ids."""
        ...

    def fold_in(self, histories: Interactions) -> ScoreFunction:
        """Scores of users by what they had, whether or not they were there in training.

        Args:
            histories: One row per user to be scored, over the catalogue of items that was trained on. The function
                takes the numbers of these rows. Rows without an item are ranked by popularity in the training set,
                with a warning.

        Raises:
            DataError: ``histories`` has another number of items.
        """
        ...


BLOCK_CELLS = 2_000_000  # scores held at once: 8 MB, so that they are still in the cache when they are ranked
ROUNDING = 2**-7 + 2**-8 + 2**-12
"""Bound on |bfloat16 product − product| ÷ (|user| · |item|): both factors and the result are rounded by at most 2⁻⁸ of
themselves, and the sum in single precision adds far less than the rest."""


class DotProducts:
    """A ``ScoreFunction``: dot products of rows of two tables. ``top_items`` ranks by it faster than it can score.

    Args:
        users: float32 ``[n_users, d]``.
        items: float32 ``[n_items, d]``.
    """

    def __init__(self, users: FloatArray, items: FloatArray) -> None:
        self.users, self.items = users, items

    def __call__(self, users: IntArray, /) -> FloatArray:
        """Scores float32 ``[B, n_items]``; by torch, which beats NumPy where the rows are few and the items many."""
        return (torch.from_numpy(self.users[users]) @ torch.from_numpy(self.items).T).numpy()

    def top_by_length(self, seen: Interactions, users: IntArray, k: int) -> npt.NDArray[np.int32]:
        """What ``top_k`` finds by the products, up to ties within their rounding, by way of few of them."""
        return self._by_length.top(self.users[users], seen, users, k)

    def top_filtered(self, seen: Interactions, users: IntArray, k: int) -> npt.NDArray[np.int32]:
        """What ``top_k`` finds by the products, up to ties within their rounding, by way of products in bfloat16."""
        rows = self.users[users]
        error = np.linalg.norm(rows, axis=1) * np.float32(self._longest_item * ROUNDING) + np.float32(1e-30)
        bits = (torch.from_numpy(rows).bfloat16() @ self._rounded_items.T).view(torch.int16).numpy()
        ranked: npt.NDArray[np.int32] = top_k_of_products(
            bits, error, rows, self.items, seen.indptr, seen.items, users, k
        )
        return ranked

    @property
    def is_filtered(self) -> bool:
        """Whether products in bfloat16 are fast here, and are within their bound."""
        return _multiplies_bfloat16() and self.is_bounded

    @property
    def is_bounded(self) -> bool:
        """Whether no product can be infinite or no number."""
        return self._longest_item * self._longest_user < 1e30

    @cached_property
    def _by_length(self) -> ByLength:
        return ByLength(self.items)

    @cached_property
    def _rounded_items(self) -> torch.Tensor:
        return torch.from_numpy(self.items).bfloat16()

    @cached_property
    def _longest_item(self) -> float:
        return _longest(self.items)

    @cached_property
    def _longest_user(self) -> float:
        return _longest(self.users)


def top_items(score: ScoreFunction, seen: Interactions, users: IntArray, k: int) -> npt.NDArray[np.int32]:
    """The ``k`` best items of each user that are not in ``seen``, scored block by block.

    Where a block does not fit into memory it is halved, with a warning; the ranking does not depend on it.

    Args:
        score: What to rank by.
        seen: Masked interactions.
        users: Whom to rank for, int32 ``[n]``.
        k: How many items each.

    Returns:
        Item ids int32 ``[n, k]``, best first, ties by the lower id; −1 where a user has fewer unseen items.

    Raises:
        MemoryError: Not even a single user's scores fit (``torch.OutOfMemoryError`` on a device).
    """
    top, width = _top(score, seen, k)
    block, start = max(1, BLOCK_CELLS // width), 0
    ranked = np.empty((len(users), k), dtype=np.int32)
    while start < len(users):
        part = users[start : start + block]
        try:
            ranked[start : start + block] = top(part)
        except (MemoryError, torch.OutOfMemoryError):
            if len(part) == 1:
                raise
            block = len(part) // 2
            message = (
                f"scores of {len(part)} users x {seen.n_items} items do not fit into memory; going on with {block}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            continue
        start += block
    return ranked


def _top(score: ScoreFunction, seen: Interactions, k: int) -> tuple[Callable[[IntArray], npt.NDArray[np.int32]], int]:
    """The fastest way to rank a block of users, and how many scores of each it holds at once."""
    if isinstance(score, DotProducts) and score.is_filtered:
        return lambda users: score.top_filtered(seen, users, k), seen.n_items
    if isinstance(score, DotProducts) and score.is_bounded and 0 < k <= SHORT:
        return lambda users: score.top_by_length(seen, users, k), min(seen.n_items, BLOCK)
    return lambda users: top_k(score(users), seen.indptr, seen.items, users, k), seen.n_items


def _longest(rows: FloatArray) -> float:
    """The greatest length of a row; not finite where a number or its square is not."""
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(rows, axis=1).max(initial=0))


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
