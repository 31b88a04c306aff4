"""How loops are compiled: one thread each, so reproducible; kept on disk; without the interpreter's lock."""

import numba

# Reassociation lets the compiler vectorise sums; NaN and infinity keep their meaning, so a diverged loss is seen.
jit = numba.njit(cache=True, nogil=True)
fast_jit = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
inline_jit = numba.njit(cache=True, nogil=True, inline="always")
