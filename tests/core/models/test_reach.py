"""The part of a graph that a batch needs."""

import numpy as np

from dconrec_core.models._graph import Graph
from dconrec_core.models._reach import Reach
from dconrec_core.types import Interactions

# A path u0 - i0 - u1 - i1 - u2 - i2 and, apart from it, u3 - i3; items are nodes 4 to 7.
PATH = Interactions.of([0, 1, 1, 2, 2, 3], [0, 0, 1, 1, 2, 3], 4, 4)


def test_rings_are_the_neighbours_of_the_batch_then_theirs() -> None:
    reach = Reach.of(Graph.of(PATH), np.array([[0, 0, 0]]), 3)
    assert reach.nodes.tolist() == [0, 4, 1, 5]  # u0, i0, u1, i1
    assert reach.counts == (4, 3, 2, 1)
    np.testing.assert_array_equal(reach.batch, [[0, 0, 0]])
    assert len(reach.indptr) == 3 + 1  # no row of i1: nothing is summed there
    assert not reach.is_whole


def test_products_over_it_are_those_over_the_graph() -> None:
    graph = Graph.of(PATH)
    dense = graph_dense(graph)
    table = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    reach = Reach.of(graph, np.array([[6, 0, 0]]), 2)
    assert set(reach.nodes.tolist()) == {6, 0, 2, 4, 5, 1}
    n_rows = reach.counts[1]
    product, total = np.empty((n_rows, 3), dtype=np.float32), np.ones((n_rows, 3), dtype=np.float32)
    reach.multiply(table[reach.nodes], product, total)
    np.testing.assert_allclose(product, (dense @ table)[reach.nodes[:n_rows]], atol=1e-6)
    np.testing.assert_allclose(total, product + 1, atol=1e-6)
    spread = np.zeros((len(reach.nodes), 3), dtype=np.float32)
    reach.multiply_back(product, spread)
    only = np.zeros((8, 3), dtype=np.float32)
    only[reach.nodes[:n_rows]] = product
    np.testing.assert_allclose(spread, (dense @ only)[reach.nodes], atol=1e-6)


def test_a_batch_of_most_nodes_takes_all_under_their_own_numbers() -> None:
    graph, batch = Graph.of(PATH), np.array([[0, 1, 2], [4, 5, 6], [7, 7, 7]])
    reach = Reach.of(graph, batch, 2)
    assert reach.is_whole
    assert reach.counts == (8, 8, 8)
    np.testing.assert_array_equal(reach.batch, batch)
    table = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    spread = table.copy()
    reach.multiply_back(table, spread)
    np.testing.assert_allclose(spread, table + graph_dense(graph) @ table, atol=1e-6)


def graph_dense(graph: Graph) -> np.ndarray:
    rows = np.repeat(np.arange(graph.n_nodes), np.diff(graph.indptr))
    dense = np.zeros((graph.n_nodes, graph.n_nodes), dtype=np.float32)
    dense[rows, graph.indices] = graph.values
    return dense
