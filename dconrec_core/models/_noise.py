"""Compiled noise for training: random numbers by counter, so that a loop over them is vectorised; one thread each."""

import numba
import numpy as np

from dconrec_core.kernels import FAST, _next

_jit = numba.njit(cache=True, nogil=True)
_fast_jit = numba.njit(cache=True, nogil=True, fastmath=FAST)


@numba.njit(cache=True, nogil=True, inline="always")
def _hash(word):
    """32 random bits of a 32-bit counter: the finaliser "lowbias32" of C. Wellons."""
    word = np.uint32(word ^ (word >> np.uint32(16)))
    word = np.uint32(word * np.uint32(0x7FEB352D))
    word = np.uint32(word ^ (word >> np.uint32(15)))
    word = np.uint32(word * np.uint32(0x846CA68B))
    return np.uint32(word ^ (word >> np.uint32(16)))


@_fast_jit
def perturb(layer, total, size, state):
    """Move every row of ``layer`` by ``size`` in a random direction of its own orthant, and ``total`` with it.

    XSimGCL's augmentation: ``sign(x) ⊙ u / ‖u‖`` with u uniform in [0, 1).

    Args:
        layer: float32 ``[n, d]``, changed in place.
        total: The running sum that ``layer`` is in, float32 ``[n, d]``, changed alike.
        size: Length of the step, ε.
        state: Random stream, uint64 ``[1]``, moved on by n draws.
    """
    width = layer.shape[1]
    noise = np.empty(width, dtype=np.float32)
    for row in range(layer.shape[0]):
        key = np.uint32(_next(state) >> np.uint64(32))
        squares = np.float32(0)
        for f in range(width):
            word = _hash(np.uint32(key + np.uint32(f) * np.uint32(0x9E3779B9)))
            noise[f] = np.float32(np.int32(word >> np.uint32(8)))
            squares += noise[f] * noise[f]
        scale = size / np.sqrt(max(squares, np.float32(1)))
        for f in range(width):
            value = layer[row, f]
            step = scale * noise[f]
            step = step if value > 0 else (-step if value < 0 else np.float32(0))
            layer[row, f] = value + step
            total[row, f] += step
