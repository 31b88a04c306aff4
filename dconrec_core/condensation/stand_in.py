"""The differentiable stand-in of ``dconrec``: which candidates make a closed-form reader rank what ought to be ranked.

A batch of real users, with what the set keeps of their candidates, is at once training set and queries of a ridge
autoencoder (``SparseReader``), as in matrix factorisation, where a user is placed by the own row. The outer loss
is that of ``synthetic-users``: what is hidden of the history and the teacher's best unseen items. Its gradient by each
kept candidate is exact and passed straight through to the logits. It only proposes: the real reward decides.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.condensation.descent import Adam, Descent
from dconrec_core.condensation.histories import Histories, Lesson, Rows, worth_mentioning
from dconrec_core.condensation.relaxation import hard_threshold, window
from dconrec_core.condensation.sparse_reader import Cells, SparseReader
from dconrec_core.types import CandidatePool

MOST_ITEMS = 8_000
"""Candidates of less important items keep the logit that they start with."""
MOST_VISITS = 120_000
"""Users seen in all; many users need fewer passes, each of which moves as much further (docs/method.md)."""
N_TARGETS, RANK_SCALE, HIDDEN, HIDDEN_WEIGHT, SPREAD, AVERAGING, READER_RATE = 20, 2.0, 0.3, 0.5, 0.5, 0.95, 0.01


@dataclass(frozen=True)
class Batch:
    """Users and those of their candidates that can be moved: all but what is hidden, by which nobody may be ranked.

    Attributes:
        entries: Positions of the candidates in the pool, ``[c]``.
        cells: Where they lie in the table of users × items, and which are kept.
        lesson: What is shown of the users' histories, and what ought to be ranked.
    """

    entries: torch.Tensor
    cells: Cells
    lesson: Lesson


class StandIn:
    """The logits of all candidates and the reader, moved once a pass over the users.

    Args:
        pool: The candidates.
        logits: Where to start, ``[n]``; infinite for what is kept in any case.
        count: Candidates to keep.
        passes: Most passes over the users; fewer where they would be more than ``MOST_VISITS``, but one.
        batch_users: Most users a batch; all batches are of one size.
        learning_rate: Step size of Adam on the logits after ``passes`` passes, falling to 0 by a cosine.
        rng: Source of randomness.
    """

    def __init__(
        self,
        pool: CandidatePool,
        logits: npt.NDArray[np.float64],
        count: int,
        passes: int,
        batch_users: int,
        learning_rate: float,
        rng: np.random.Generator,
    ) -> None:
        self.count, self.rng = count, rng
        items = worth_mentioning(pool, MOST_ITEMS, N_TARGETS, RANK_SCALE)
        self.histories = Histories(pool, items, N_TARGETS, RANK_SCALE)
        entries = np.arange(len(pool), dtype=np.int32)
        self.candidates = Rows(pool.interactions.indptr, entries, pool.score)
        self.place = self.histories.place[pool.interactions.items]
        self.pseudo = ~pool.observed
        n_users = len(self.histories.users)
        self.passes = min(passes, max(1, MOST_VISITS // max(n_users, 1)))
        self.learning_rate = learning_rate * passes / max(self.passes, 1)
        self.size = n_users // math.ceil(n_users / batch_users)
        self.logits = torch.from_numpy(logits.astype(np.float32))
        self.descent = Descent(self.logits, AVERAGING)
        self.reader = SparseReader()
        self.reader_steps = Adam(self.reader.parameters.values(), READER_RATE)

    def run(self) -> Iterator[tuple[int, float, npt.NDArray[np.float64]]]:
        """Number of each pass, its mean loss, and the running mean of the logits after it."""
        for number in range(1, self.passes + 1):
            threshold, gradient, losses = hard_threshold(self.logits, self.count), torch.zeros_like(self.logits), []
            order = self.rng.permutation(self.histories.users)
            for start in range(0, len(order) - self.size + 1, self.size):
                batch = self._batch(order[start : start + self.size], threshold)
                losses.append(self._add_gradient(batch, threshold, gradient))
            rate = self.learning_rate * (1 + math.cos(math.pi * (number - 1) / self.passes)) / 2
            self.descent.step(number, gradient, rate)
            yield number, float(np.mean(losses)), self.descent.mean.numpy().astype(np.float64)

    def _batch(self, users: npt.NDArray[np.int64], threshold: torch.Tensor) -> Batch:
        lesson = self.histories.lesson(users, HIDDEN, HIDDEN_WEIGHT, self.rng)
        rows, places, _ = self.candidates.take(users)
        columns, pseudo = self.place[places].astype(np.int64), self.pseudo[places]
        movable = (columns >= 0) & (pseudo | (lesson.shown.table.numpy()[columns, rows] > 0))
        entries = torch.from_numpy(places[movable].astype(np.int64))
        keep = (self.logits[entries] >= threshold).numpy()
        cells = Cells.of(rows[movable], columns[movable], keep, (len(users), self.histories.n_items))
        return Batch(entries, cells, lesson)

    def _add_gradient(self, batch: Batch, threshold: torch.Tensor, gradient: torch.Tensor) -> float:
        logits = self.logits[batch.entries]
        kept = (logits >= threshold).to(logits.dtype).requires_grad_(True)
        self.reader_steps.zero_grad()
        cost = batch.lesson.loss(self.reader.logits(kept, batch.cells))
        cost.backward()
        self.reader_steps.step()
        assert kept.grad is not None
        gradient[batch.entries] = kept.grad * window(logits, threshold, SPREAD)
        return float(cost.detach())
