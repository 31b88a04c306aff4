"""Compiled loops of NGCF: the nodes that a batch needs; what a layer does to each number, and its derivative.

One thread each.
"""

import numpy as np

from dconrec_core.jit import fast_jit, jit
from dconrec_core.kernels import next_bits

SLOPE = np.float32(0.2)  # of the leaky ReLU, as in the authors' code
TINY = np.float32(1e-12)  # least length that a row is divided by


@jit
def rings(indptr, indices, seeds, place, nodes, counts):
    """Number the nodes that propagation ends at the seeds from: the seeds, their neighbours, and so on outwards.

    Args:
        indptr: Rows of the graph, like the next.
        indices: Columns.
        seeds: Where it ends, repeated or not.
        place: -1 everywhere, ``[n]``; set to the number of each node that is reached.
        nodes: ``[n]``; its beginning is set to the nodes in their order.
        counts: ``[L + 1]``; set to how many are within L − l steps of the seeds.
    """
    count = 0
    for seed in seeds:
        if place[seed] < 0:
            place[seed] = count
            nodes[count] = seed
            count += 1
    begin = 0  # of the outermost ring: the neighbours of what lies within are known
    counts[-1] = count
    for layer in range(counts.shape[0] - 2, -1, -1):
        end = count
        for row in range(begin, end):
            for entry in range(indptr[nodes[row]], indptr[nodes[row] + 1]):
                node = indices[entry]
                if place[node] < 0:
                    place[node] = count
                    nodes[count] = node
                    count += 1
        begin = end
        counts[layer] = count


@jit
def local_rows(indptr, indices, values, rows, place, local_indices, local_values):
    """Copy some rows of a graph, their columns numbered by ``place``."""
    at = 0
    for row in rows:
        for entry in range(indptr[row], indptr[row + 1]):
            local_indices[at] = place[indices[entry]]
            local_values[at] = values[entry]
            at += 1


@fast_jit
def spread(indptr, indices, values, dense, total):
    """Transposed sparse times dense: ``total += A.T @ dense``."""
    for row in range(indptr.shape[0] - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            value, column = values[entry], indices[entry]
            for f in range(dense.shape[1]):
                total[column, f] += value * dense[row, f]


@jit
def draw_kept(state, dropout, kept):
    """Fill ``kept``, bool ``[n, d]``, with True by 1 − ``dropout``, to a 65536th; four numbers a draw."""
    flat = kept.ravel()
    least, bits = np.uint64(round(dropout * 65536)), np.uint64(0)
    for place in range(flat.shape[0]):
        bits = next_bits(state) if place % 4 == 0 else bits >> np.uint64(16)
        flat[place] = (bits & np.uint64(0xFFFF)) >= least


@fast_jit
def activate(layer, bias, kept, scale, inverse, final, column):
    """Bias, leaky ReLU and dropout in place, and the rows scaled to length 1 beside the other layers'.

    Args:
        layer: float32 ``[n, d]``, changed in place.
        bias: float32 ``[d]``.
        kept: What dropout leaves, bool ``[n, d]``.
        scale: What it multiplies that by.
        inverse: Set to one over each row's length, float32 ``[n]``.
        final: float32 ``[m, ·]`` of the first m ≤ n rows; its columns from ``column`` on are set.
        column: Where this layer's begin.
    """
    one, zero = np.float32(1), np.float32(0)
    for row in range(layer.shape[0]):
        squares = zero
        for f in range(layer.shape[1]):
            value = layer[row, f] + bias[f]
            value = value if value > zero else SLOPE * value
            value = value * scale if kept[row, f] else zero
            layer[row, f] = value
            squares += value * value
        inverse[row] = one / max(np.sqrt(squares), TINY)
        if row < final.shape[0]:
            for f in range(layer.shape[1]):
                final[row, column + f] = layer[row, f] * inverse[row]


@fast_jit
def activate_back(layer, kept, scale, inverse, final, column, by_final, by_layer, by_bias):
    """The derivative of ``activate``: from that of ``final`` and of its result to that of what it was given.

    Args:
        layer: As ``activate`` left it, like the next five.
        kept: What dropout left.
        scale: What it multiplied that by.
        inverse: One over each row's length.
        final: Scaled rows, from ``column`` on.
        column: Where this layer's begin.
        by_final: Gradient with respect to ``final``, float32 ``[m, ·]``.
        by_layer: With respect to the activated layer; set to that with respect to ``layer`` before, without bias.
        by_bias: Set to the gradient with respect to the bias.
    """
    one, zero = np.float32(1), np.float32(0)
    by_bias[:] = 0
    for row in range(layer.shape[0]):
        if row < by_final.shape[0]:
            along = zero
            for f in range(layer.shape[1]):
                along += by_final[row, column + f] * final[row, column + f]
            if inverse[row] >= one / TINY:  # divided by a constant
                along = zero
            for f in range(layer.shape[1]):
                by_layer[row, f] += (by_final[row, column + f] - along * final[row, column + f]) * inverse[row]
        for f in range(layer.shape[1]):
            value = by_layer[row, f] * (scale if layer[row, f] > zero else scale * SLOPE)
            value = value if kept[row, f] else zero
            by_layer[row, f] = value
            by_bias[f] += value


@fast_jit
def interact_back(current, product, by_total, by_interaction):
    """From the gradients of (A + I)E and of AE ⊙ E to that of AE, and that of E without what comes through AE.

    Args:
        current: E, float32 ``[n, d]``.
        product: AE.
        by_total: Gradient with respect to (A + I)E; set to that with respect to E.
        by_interaction: Gradient with respect to AE ⊙ E; set to that with respect to AE.
    """
    for row in range(current.shape[0]):
        for f in range(current.shape[1]):
            total, interaction = by_total[row, f], by_interaction[row, f]
            by_total[row, f] = total + interaction * product[row, f]
            by_interaction[row, f] = total + interaction * current[row, f]
