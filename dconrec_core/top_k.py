"""Compiled ranking: each user's best unseen items, from scores or from approximate ones whose error is bounded.

A bound that few items reach comes first, by loops that the compiler vectorises; only those items are put in order.
"""

import numpy as np

from dconrec_core.jit import fast_jit, inline_jit, jit

INSERTED, SHORT = 256, 64  # so few items, or so short a ranking, are ordered by inserting
UNRANKED = -32768  # the least key, that of NaN with the sign bit set


@inline_jit
def _n_lanes(n_items, k):
    """How many lanes items are dealt out to: more lanes make a tighter bound, fewer are searched faster."""
    return min(max(256 if n_items < 16384 else 1024, 8 * k), n_items)


@fast_jit
def _reached_by(scores, k, best):
    """A value that at least ``k`` of ``scores`` reach, and not many more; −∞ where that cannot be said.

    The scores are dealt out in turn to as many lanes as ``best`` has, which is set to the best of each: what ``k``
    lanes reach, ``k`` scores reach.
    """
    lanes = best.shape[0]
    best[:] = -np.inf
    for start in range(0, scores.shape[0], lanes):
        part = scores[start : start + lanes]  # a slice, so that no index can be negative
        for lane in range(part.shape[0]):
            best[lane] = part[lane] if part[lane] > best[lane] else best[lane]
    low, high, there = np.float32(np.inf), np.float32(-np.inf), 0
    for lane in range(lanes):
        if best[lane] > -np.inf:
            there += 1
            low, high = min(low, best[lane]), max(high, best[lane])
    if there < k:
        return np.float32(-np.inf)
    for _ in range(16):
        middle = np.float32(0.5) * (low + high)
        reached = 0
        for lane in range(lanes):
            reached += best[lane] >= middle
        if reached < k:
            high = middle
        else:
            low = middle
            if reached <= k + 8 + k // 4:
                break
    return low


@inline_jit
def insert(item, score, ranked, values, filled):
    """Insert an item into the ``filled`` best so far, ties by the lower id; returns how many there are now."""
    k = values.shape[0]
    if filled == k and (score < values[k - 1] or (score == values[k - 1] and item > ranked[k - 1])):
        return filled
    place = min(filled, k - 1)
    while place > 0 and (values[place - 1] < score or (values[place - 1] == score and ranked[place - 1] > item)):
        values[place], ranked[place] = values[place - 1], ranked[place - 1]
        place -= 1
    values[place], ranked[place] = score, item
    return min(filled + 1, k)


@jit
def _order(items, scores, values, ranked):
    """Fill ``ranked`` with the best of ``items`` by ``scores``, ties by the lower id.

    Nearly all of many items are turned away at the first look, also where all tie, as for a user that a model has
    nothing of; so sorting pays for long rankings alone.
    """
    if len(items) <= INSERTED or len(ranked) <= SHORT:
        filled = 0
        for place in range(len(items)):
            filled = insert(items[place], scores[place], ranked, values, filled)
        return
    by_id = np.argsort(items)
    order = by_id[np.argsort(-scores[by_id], kind="mergesort")]  # stable: ties stay in the order of ids
    for place in range(min(len(ranked), len(items))):
        ranked[place] = items[order[place]]


@jit
def top_k(scores, seen_indptr, seen_items, users, k):
    """The ``k`` best unseen items of each user, ties broken by the lower item id.

    Args:
        scores: float32 ``[B, n_items]``; an item whose score is NaN is not ranked.
        seen_indptr: Row offsets of the items to leave out, ``[n_users + 1]``.
        seen_items: Those items.
        users: The user of each row of ``scores``, ``[B]``.
        k: How many.

    Returns:
        Item ids int32 ``[B, k]``, best first; −1 where a user has fewer than ``k`` unseen items.
    """
    n_rows, n_items = scores.shape
    ranked = np.full((n_rows, k), -1, dtype=np.int32)
    unseen, values = np.empty(n_items, dtype=np.float32), np.empty(k, dtype=np.float32)
    found, found_scores = np.empty(n_items, dtype=np.int32), np.empty(n_items, dtype=np.float32)
    best = np.empty(_n_lanes(n_items, k), dtype=np.float32)
    for row in range(n_rows if k > 0 else 0):
        unseen[:] = scores[row]
        for place in range(seen_indptr[users[row]], seen_indptr[users[row] + 1]):
            unseen[seen_items[place]] = np.nan
        bound, count = _reached_by(unseen, k, best), 0
        for lane in range(best.shape[0]):
            if best[lane] >= bound:
                for item in range(lane, n_items, best.shape[0]):
                    found[count], found_scores[count] = item, unseen[item]
                    count += unseen[item] >= bound
        _order(found[:count], found_scores[:count], values, ranked[row])
    return ranked


@inline_jit
def _key(bits):
    """Bits of a bfloat16, int16, to an integer of the same order; its own inverse."""
    return bits ^ ((bits >> 15) & 0x7FFF)


@jit
def _keys_reached_by(bits, k, best):
    """The greatest key that the best of at least ``k`` lanes reach; UNRANKED where there is none."""
    lanes = best.shape[0]
    best[:] = UNRANKED
    for start in range(0, bits.shape[0], lanes):
        part = bits[start : start + lanes]
        for lane in range(part.shape[0]):
            key = np.int16(_key(part[lane]))
            best[lane] = key if key > best[lane] else best[lane]
    low, high = UNRANKED, 32767
    while low < high:
        middle = (low + high + 1) >> 1
        reached = 0
        for lane in range(lanes):
            reached += best[lane] >= middle
        if reached < k:
            high = middle - 1
        else:
            low = middle
    return low


@fast_jit
def _dot(a, b):
    total = np.float32(0)
    for f in range(a.shape[0]):
        total += a[f] * b[f]
    return total


@jit
def top_k_of_products(bits, error, user_factors, item_factors, seen_indptr, seen_items, users, k):
    """``top_k`` by the dot products of two tables, found through approximate products of less precision.

    Where ``k`` unseen items have approximations of at least b, an item whose approximation is below b − 2 × ``error``
    is none of the ``k`` best. The others' products are computed exactly.

    Args:
        bits: Approximate products in bfloat16, viewed as int16 ``[B, n_items]``; overwritten.
        error: Bound on the distance of each user's approximations from the products, float32 ``[B]``.
        user_factors: float32 ``[B, d]``.
        item_factors: float32 ``[n_items, d]``.
        seen_indptr: As for ``top_k``, like what follows.
        seen_items: Those items.
        users: The user of each row.
        k: How many.

    Returns:
        Item ids int32 ``[B, k]``, as ``top_k``.
    """
    n_rows, n_items = bits.shape
    ranked = np.full((n_rows, k), -1, dtype=np.int32)
    values, best = np.empty(k, dtype=np.float32), np.empty(_n_lanes(n_items, k), dtype=np.int16)
    found, found_scores = np.empty(n_items, dtype=np.int32), np.empty(n_items, dtype=np.float32)
    word = np.empty(1, dtype=np.int32)
    for row in range(n_rows if k > 0 else 0):
        approximate = bits[row]
        for place in range(seen_indptr[users[row]], seen_indptr[users[row] + 1]):
            approximate[seen_items[place]] = -1  # a NaN, whose key is UNRANKED
        bound = _keys_reached_by(approximate, k, best)
        if bound > UNRANKED:
            word[0] = np.int32(_key(bound)) << 16
            word.view(np.float32)[0] -= 2 * error[row]
            bound = max(_key(word[0] >> 16) - 1, UNRANKED)  # cut off downwards, or upwards to the next there is
        count = 0
        for lane in range(best.shape[0]):
            if best[lane] > bound:
                for item in range(lane, n_items, best.shape[0]):
                    found[count] = item
                    count += _key(approximate[item]) > bound
        for place in range(count):
            found_scores[place] = _dot(user_factors[row], item_factors[found[place]])
        _order(found[:count], found_scores[:count], values, ranked[row])
    return ranked
