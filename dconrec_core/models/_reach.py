"""What a batch needs of a graph: the nodes that its final embeddings are made of, in rings around the batch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dconrec_core.kernels import spmm
from dconrec_core.models._graph import Graph
from dconrec_core.models._ngcf_kernels import local_rows, rings, spread
from dconrec_core.types import FloatArray, IntArray

MOST = 0.5
"""Share of the nodes in a batch above which all are computed: less is left out than finding and numbering it costs."""


@dataclass(frozen=True)
class Reach:
    """A part of a graph whose nodes are numbered anew, so that what each layer needs are the first rows of a table.

    The final embeddings of a batch's nodes need the last layer at those nodes alone, the layer before at their
    neighbours, too, and so on: on a wide sparse catalogue far fewer rows than there are nodes. What is left out has a
    gradient of zero, so a training over it is the same training.

    Attributes:
        nodes: The graph's number of each node, int32; those of the batch first, then their neighbours, ring by ring.
        counts: How many of the first nodes layer l is needed at, for l from 0 (what is propagated) to L, falling.
        batch: The batch's nodes by their new numbers, in its shape.
        indptr: Rows of the first ``counts[1]`` nodes: int64.
        indices: Their neighbours by their new numbers, int32.
        values: And their weights, float32.
        is_whole: Whether it is all of the graph under its own numbers.
    """

    nodes: IntArray
    counts: tuple[int, ...]
    batch: npt.NDArray[np.integer]
    indptr: npt.NDArray[np.int64]
    indices: IntArray
    values: FloatArray
    is_whole: bool = False

    @classmethod
    def of(cls, graph: Graph, batch: npt.NDArray[np.int64], n_layers: int) -> "Reach":
        """Around the nodes of ``batch``, of any shape, through ``n_layers`` layers."""
        if np.count_nonzero(np.bincount(batch.ravel(), minlength=graph.n_nodes)) > MOST * graph.n_nodes:
            return cls.whole(graph, batch, n_layers)
        place = np.full(graph.n_nodes, -1, dtype=np.int32)
        nodes, counts = np.empty(graph.n_nodes, dtype=np.int32), np.empty(n_layers + 1, dtype=np.int64)
        rings(graph.indptr, graph.indices, batch.ravel(), place, nodes, counts)
        rows = nodes[: counts[1]]
        indptr = np.concatenate(([0], np.cumsum(graph.indptr[rows + 1] - graph.indptr[rows])))
        indices, values = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=np.float32)
        local_rows(graph.indptr, graph.indices, graph.values, rows, place, indices, values)
        return cls(nodes[: counts[0]], tuple(counts.tolist()), place[batch], indptr, indices, values)

    @classmethod
    def whole(cls, graph: Graph, batch: npt.NDArray[np.int64], n_layers: int) -> "Reach":
        """All of the graph."""
        nodes, counts = np.arange(graph.n_nodes, dtype=np.int32), (graph.n_nodes,) * (n_layers + 1)
        return cls(nodes, counts, batch, graph.indptr, graph.indices, graph.values, is_whole=True)

    def multiply(self, dense: FloatArray, product: FloatArray, total: FloatArray) -> None:
        """``product = A @ dense`` and ``total += product`` at the first nodes, as many as these have rows."""
        spmm(self.indptr[: len(product) + 1], self.indices, self.values, dense, product, total)

    def multiply_back(self, dense: FloatArray, total: FloatArray) -> None:
        """``total += A.T @ dense``, where ``dense`` is of the first nodes."""
        if self.is_whole:  # A is its own transpose, and summing is faster than spreading
            self.multiply(dense, np.empty_like(dense), total)
        else:
            spread(self.indptr[: len(dense) + 1], self.indices, self.values, dense, total)
