"""Compiled loops (Numba), one thread each and so reproducible; the readable version of each is the oracle of its test.

Randomness is a splitmix64 stream whose state is passed in and out, so that a run can stop and go on exactly.
"""

import numpy as np

from dconrec_core.jit import fast_jit, inline_jit, jit


@inline_jit
def next_bits(state):
    """Advance the splitmix64 ``state`` (uint64 ``[1]``) and return 64 random bits."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inline_jit
def _below(state, n):
    """A random integer in [0, n), by multiplication of the upper 32 bits."""
    return np.int64(((next_bits(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@jit
def _find(indices, low, high, item):
    """Where sorted ``indices[low:high]`` holds ``item``; −1 where it does not."""
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < item:
            low = middle + 1
        elif indices[middle] > item:
            high = middle
        else:
            return middle
    return -1


@jit
def contains(indptr, indices, rows, asked):
    """Which of ``asked`` ``[B, k]`` are in their row of a matrix with sorted ``indices``, bool ``[B, k]``."""
    found = np.zeros(asked.shape, dtype=np.bool_)
    for row in range(asked.shape[0]):
        low, high = indptr[rows[row]], indptr[rows[row] + 1]
        for place in range(asked.shape[1]):
            found[row, place] = _find(indices, low, high, asked[row, place]) >= 0
    return found


@inline_jit
def _bit(sketch, user, item):
    """The bit of a pair: its place in ``sketch`` and its mask there."""
    mixed = np.uint64(user) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(item) * np.uint64(0xC2B2AE3D27D4EB4F)
    place = (mixed >> np.uint64(20)) & np.uint64(8 * sketch.shape[0] - 1)
    return place >> np.uint64(3), np.uint8(1 << (place & np.uint64(7)))


@jit
def pair_sketch(users, items):
    """A Bloom filter of pairs with one hash, uint8: a clear bit says that a pair is none of them, without a search.

    At least 8 bits a pair, so that seven in eight pairs that are not there are told so by one look at memory.
    """
    size = 64
    while size < 8 * users.shape[0]:
        size *= 2
    sketch = np.zeros(size // 8, dtype=np.uint8)
    for pair in range(users.shape[0]):
        place, mask = _bit(sketch, users[pair], items[pair])
        sketch[place] |= mask
    return sketch


@jit
def _negative(state, indptr, indices, sketch, user, n_items):
    """A random item the user has not; after 64 misses in a row any item, so that a (nearly) full row cannot hang."""
    item = _below(state, n_items)
    for _ in range(64):
        place, mask = _bit(sketch, user, item)
        if not sketch[place] & mask or _find(indices, indptr[user], indptr[user + 1], item) < 0:
            return item
        item = _below(state, n_items)
    return item


@jit
def shuffle(state, order):
    """Fisher–Yates shuffle of ``order`` in place."""
    for last in range(order.shape[0] - 1, 0, -1):
        other = _below(state, last + 1)
        order[last], order[other] = order[other], order[last]


@inline_jit
def _bpr_step(p, q, r, sums_p, sums_q, sums_r, u, i, j, learning_rate, decay):
    """One BPR step on the rows of a user, a positive and a negative item; returns margin m before it, and exp(−|m|).

    ``sums_*[·]`` is Adagrad's state, one number a row: the mean squared gradient, summed.
    """
    size, one, tiny = p.shape[0], np.float32(1), np.float32(1e-8)
    share = one / np.float32(size)  # a division by an integer would be one in double precision
    margin = np.float32(0)
    for f in range(size):
        margin += p[f] * (q[f] - r[f])
    less = np.exp(-abs(margin))
    pull = (less if margin > 0 else one) / (one + less)
    squares_p, squares_q, squares_r = np.float32(0), np.float32(0), np.float32(0)
    for f in range(size):
        step_p = pull * (q[f] - r[f]) - decay * p[f]
        step_q = pull * p[f] - decay * q[f]
        step_r = -pull * p[f] - decay * r[f]
        squares_p += step_p * step_p
        squares_q += step_q * step_q
        squares_r += step_r * step_r
    sums_p[u] += squares_p * share
    sums_q[i] += squares_q * share
    sums_r[j] += squares_r * share
    rate_p = learning_rate / np.sqrt(sums_p[u] + tiny)
    rate_q = learning_rate / np.sqrt(sums_q[i] + tiny)
    rate_r = learning_rate / np.sqrt(sums_r[j] + tiny)
    for f in range(size):
        old = p[f]
        step_q = pull * old - decay * q[f]
        step_r = -pull * old - decay * r[f]
        p[f] += rate_p * (pull * (q[f] - r[f]) - decay * old)
        q[f] += rate_q * step_q
        r[f] += rate_r * step_r
    return margin, less


@fast_jit
def bpr_epoch(
    order, users, items, indptr, sketch, state, user_factors, item_factors, user_sum, item_sum, learning_rate, decay
):
    """One pass of BPR over ``order``: draw a negative, closed-form gradient, row-wise Adagrad, three rows a step.

    Args:
        order: Interactions to visit, in this order.
        users: User of each interaction, sorted; with ``indptr`` its row offsets.
        items: Item of each interaction, sorted within a user: also the rows that negatives must avoid.
        indptr: int64 ``[n_users + 1]``.
        sketch: ``pair_sketch`` of users and items.
        state: Random state, advanced in place.
        user_factors: float32 ``[n_users, d]``, changed in place, as are the next three.
        item_factors: float32 ``[n_items, d]``.
        user_sum: Mean squared gradient summed per user row, float32 ``[n_users]`` (Adagrad's state, one number a row).
        item_sum: The same per item row.
        learning_rate: Step size.
        decay: L2 penalty on the three rows of a step.

    Returns:
        Mean BPR loss over the pass, each taken before its own update.
    """
    n_items, count = item_factors.shape[0], order.shape[0]
    negatives = np.empty(256, dtype=np.int32)
    loss = 0.0
    for start in range(0, count, negatives.shape[0]):
        stop = min(start + negatives.shape[0], count)
        for step in range(start, stop):  # apart, so that a wrong guess of the processor's throws less work away
            negatives[step - start] = _negative(state, indptr, items, sketch, users[order[step]], n_items)
        product = 1.0  # of 1 + exp(−|m|), up to 2²⁵⁶: one logarithm instead of one a step
        for step in range(start, stop):
            u, i, j = users[order[step]], items[order[step]], negatives[step - start]
            margin, less = _bpr_step(
                user_factors[u], item_factors[i], item_factors[j], user_sum, item_sum, item_sum, u, i, j,
                learning_rate, decay,
            )  # fmt: skip
            loss += max(-margin, np.float32(0))
            product *= 1.0 + less
        loss += np.log(product)
    return loss / max(count, 1)


@jit
def _masked_negative(state, indptr, indices, sketch, mask, user, n_items):
    """``_negative`` for a user of whose items only those in ``mask`` count."""
    for _ in range(64):
        item = _below(state, n_items)
        byte, bit = _bit(sketch, user, item)
        if not sketch[byte] & bit:
            return item
        place = _find(indices, indptr[user], indptr[user + 1], item)
        if place < 0 or not mask[place]:
            return item
    return item


@fast_jit
def masked_bpr_epoch(
    order, users, items, indptr, sketch, mask, seed, user_factors, item_factors, user_sum, item_sum, learning_rate,
    decay,
):  # fmt: skip
    """``bpr_epoch`` over the interactions in ``mask`` alone, under random numbers that all masks share.

    The negative of an interaction is the first of a stream of its own that the masked set does not hold. Two masks
    therefore visit what they have in common in the same order with the same negatives, and their losses differ by what
    they do not have in common.

    Args:
        order: Interactions of the pool, in the order to visit; those outside ``mask`` are passed over.
        users: User of each interaction of the pool, sorted.
        items: Item of each, sorted within a user.
        indptr: int64 ``[n_users + 1]``.
        sketch: ``pair_sketch`` of users and items, whole.
        mask: Which of them are trained on, bool ``[n]``.
        seed: uint64, of all streams.
        user_factors: float32 ``[n_users, d]``, changed in place, as are the next three.
        item_factors: float32 ``[n_items, d]``.
        user_sum: Adagrad's state of users, float32 ``[n_users]``.
        item_sum: The same of items.
        learning_rate: Step size.
        decay: L2 penalty on the three rows of a step.
    """
    n_items = item_factors.shape[0]
    stream = np.empty(1, dtype=np.uint64)
    for step in range(order.shape[0]):
        interaction = order[step]
        if not mask[interaction]:
            continue
        u, i = users[interaction], items[interaction]
        stream[0] = seed + np.uint64(interaction) * np.uint64(0xD1342543DE82EF95)
        j = _masked_negative(stream, indptr, items, sketch, mask, u, n_items)
        _bpr_step(
            user_factors[u], item_factors[i], item_factors[j], user_sum, item_sum, item_sum, u, i, j, learning_rate,
            decay,
        )  # fmt: skip


@fast_jit
def draw_negatives(batch, users, items, indptr, sketch, state, n_items, negatives):
    """Fill ``negatives`` with one random item the user has not, for each interaction of ``batch``."""
    for row in range(batch.shape[0]):
        negatives[row] = _negative(state, indptr, items, sketch, users[batch[row]], n_items)


@fast_jit
def bpr_gradient(users, positives, negatives, final, base, decay, gradient_final, gradient_base):
    """Closed-form gradient of the mean BPR loss of a batch with respect to propagated and initial embeddings.

    Args:
        users: Row of each triplet's user, ``[B]``.
        positives: Row of its positive item.
        negatives: Row of its negative item.
        final: Embeddings that are scored, float32 ``[n, d]``.
        base: Embeddings that are penalised, float32 ``[n, d]``.
        decay: L2 penalty per triplet.
        gradient_final: Set to the gradient with respect to ``final``.
        gradient_base: Set to the gradient of the penalty with respect to ``base``.

    Returns:
        Sum of the BPR losses over the batch, penalty not included.
    """
    size = final.shape[1]
    gradient_final[:] = 0
    gradient_base[:] = 0
    share = np.float32(1.0 / users.shape[0])
    one, loss = np.float32(1), 0.0
    for row in range(users.shape[0]):
        u, i, j = users[row], positives[row], negatives[row]
        margin = np.float32(0)
        for f in range(size):
            margin += final[u, f] * (final[i, f] - final[j, f])
        pull = share / (one + np.exp(margin))
        loss += max(-margin, np.float32(0)) + np.log1p(np.exp(-abs(margin)))
        for f in range(size):
            gradient_final[u, f] -= pull * (final[i, f] - final[j, f])
            gradient_final[i, f] -= pull * final[u, f]
            gradient_final[j, f] += pull * final[u, f]
            gradient_base[u, f] += share * decay * base[u, f]
            gradient_base[i, f] += share * decay * base[i, f]
            gradient_base[j, f] += share * decay * base[j, f]
    return loss


@fast_jit
def adam_step(weights, gradient_a, gradient_b, first, second, step, learning_rate):
    """Dense Adam (β = 0.9, 0.999) on the sum of two gradients, in place; ``step`` counts from 1."""
    keep_first, keep_second = np.float32(0.9), np.float32(0.999)
    one, tiny = np.float32(1), np.float32(1e-8)
    scale_first = np.float32(1 / (1 - 0.9**step))
    scale_second = np.float32(1 / (1 - 0.999**step))
    for row in range(weights.shape[0]):
        for f in range(weights.shape[1]):
            gradient = gradient_a[row, f] + gradient_b[row, f]
            first[row, f] = keep_first * first[row, f] + (one - keep_first) * gradient
            second[row, f] = keep_second * second[row, f] + (one - keep_second) * gradient * gradient
            weights[row, f] -= (
                learning_rate * first[row, f] * scale_first / (np.sqrt(second[row, f] * scale_second) + tiny)
            )


@inline_jit
def _hash(word):
    """32 random bits of a 32-bit counter: the finaliser "lowbias32" of C. Wellons."""
    word = np.uint32(word ^ (word >> np.uint32(16)))
    word = np.uint32(word * np.uint32(0x7FEB352D))
    word = np.uint32(word ^ (word >> np.uint32(15)))
    word = np.uint32(word * np.uint32(0x846CA68B))
    return np.uint32(word ^ (word >> np.uint32(16)))


@fast_jit
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
        key = np.uint32(next_bits(state) >> np.uint64(32))
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


@fast_jit
def spmm(indptr, indices, values, dense, product, total):
    """Sparse times dense: ``product = A @ dense`` and ``total += product``.

    Four entries at a time, so that the running sum is loaded and stored once for four rows that are read. One thread:
    two gain nothing on two shared cores.
    """
    size = dense.shape[1]
    sums = np.empty(size, dtype=np.float32)
    for row in range(indptr.shape[0] - 1):
        sums[:] = 0
        entry, end = indptr[row], indptr[row + 1]
        while entry + 4 <= end:
            v, w, x, y = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
            a, b = dense[indices[entry]], dense[indices[entry + 1]]
            c, d = dense[indices[entry + 2]], dense[indices[entry + 3]]
            for f in range(size):
                sums[f] += (v * a[f] + w * b[f]) + (x * c[f] + y * d[f])
            entry += 4
        while entry < end:
            v, a = values[entry], dense[indices[entry]]
            for f in range(size):
                sums[f] += v * a[f]
            entry += 1
        for f in range(size):
            product[row, f] = sums[f]
            total[row, f] += sums[f]


@jit
def add_rows(indptr, indices, table, sums):
    """Binary sparse times dense: a row of ``sums`` is the sum of the rows of ``table`` that its row of indices names.

    Added one after the other, as SciPy does, and so to the same bits; but four at a time, so that the running sum is
    loaded and stored once for them: 2.5 times as fast.
    """
    size = table.shape[1]
    for row in range(indptr.shape[0] - 1):
        total = sums[row]
        total[:] = 0
        entry, end = indptr[row], indptr[row + 1]
        while entry + 4 <= end:
            a, b = table[indices[entry]], table[indices[entry + 1]]
            c, d = table[indices[entry + 2]], table[indices[entry + 3]]
            for f in range(size):
                total[f] = (((total[f] + a[f]) + b[f]) + c[f]) + d[f]
            entry += 4
        while entry < end:
            a = table[indices[entry]]
            for f in range(size):
                total[f] += a[f]
            entry += 1


@jit
def entries_by_item(items, item_ptr):
    """Entries ordered by item, ties as they were, int64 ``[nnz]``: a counting sort. ``item_ptr``: offsets of items."""
    after, ordered = item_ptr[:-1].copy(), np.empty(items.shape[0], dtype=np.int64)
    for entry in range(items.shape[0]):
        ordered[after[items[entry]]] = entry
        after[items[entry]] += 1
    return ordered


@jit
def gram(indptr, items, users, by_item, item_ptr, product):
    """How many users two items share, XᵀX, into the lower triangle of ``product``; the upper one is left as it is.

    Row by row, so that the counts being made stay in the cache, and only up to the diagonal, which is why the entries
    of an item are given by their place in the rows of users.

    Args:
        indptr: Row offsets of users, int64 ``[n_users + 1]``.
        items: Items of each user, sorted within a row; unsigned, or every index is first checked for being negative.
        users: User of each entry.
        by_item: Entries ordered by item, int64 ``[nnz]``.
        item_ptr: Offsets of items in ``by_item``, int64 ``[n_items + 1]``.
        product: float ``[n_items, n_items]``.
    """
    counts = np.zeros(product.shape[0], dtype=np.int32)
    for item in range(product.shape[0]):
        for place in range(item_ptr[item], item_ptr[item + 1]):
            entry = by_item[place]
            for other in items[indptr[users[entry]] : entry + 1]:
                counts[other] += 1
        row = product[item]
        for other in range(item + 1):
            row[other] = counts[other]
            counts[other] = 0


@jit
def inverse_to_weights(inverse):
    """P in the lower triangle to B = I − P diag(P)⁻¹ in the whole matrix, in place and by tiles that fit the cache."""
    n, tile = inverse.shape[0], 64
    scale = np.empty(n, dtype=inverse.dtype)
    for row in range(n):
        scale[row] = -1 / inverse[row, row]
    for top in range(0, n, tile):
        for left in range(0, top + tile, tile):
            for row in range(top, min(top + tile, n)):
                for column in range(left, min(left + tile, row)):
                    value = inverse[row, column]
                    inverse[row, column] = value * scale[column]
                    inverse[column, row] = value * scale[row]
    for row in range(n):
        inverse[row, row] = 0


@fast_jit
def clamped_sum(values, shift):
    """Sum of ``clip(values - shift, 0, 1)``, and how many lie between: minus its slope in ``shift``. One pass."""
    total, inside = 0.0, 0
    for place in range(values.shape[0]):
        value = values[place] - shift
        total += min(max(value, 0.0), 1.0)
        inside += (value > 0) & (value < 1)
    return total, inside


@fast_jit
def bpr_losses(users, positives, negatives, user_factors, item_factors, losses):
    """BPR loss of each fixed triplet, into float32 ``losses``; ``negatives`` is ``[n, m]``, the loss their mean."""
    size = user_factors.shape[1]
    count = negatives.shape[1]
    for row in range(users.shape[0]):
        p, q = user_factors[users[row]], item_factors[positives[row]]
        best = np.float32(0)
        for f in range(size):
            best += p[f] * q[f]
        total = np.float32(0)
        for column in range(count):
            r = item_factors[negatives[row, column]]
            other = np.float32(0)
            for f in range(size):
                other += p[f] * r[f]
            margin = best - other
            total += max(-margin, np.float32(0)) + np.log1p(np.exp(-abs(margin)))
        losses[row] = total / count
