"""Compiled loops: cores of a graph, greedy choices within a user, gradients of BPR by interaction, sparse products."""

import numpy as np

from dconrec_core.jit import fast_jit, jit


@jit
def core_numbers(indptr, items, item_ptr, item_users):
    """Core number of every user and item of a bipartite graph, in one pass (Batagelj & Zaveršnik, arXiv:cs/0310049).

    Nodes lie sorted by remaining degree; the first is peeled off, and a neighbour that loses a degree changes places
    with the first of its degree.

    Args:
        indptr: Row offsets of users, int64 ``[n_users + 1]``.
        items: Item of each interaction, by user.
        item_ptr: Row offsets of items, int64 ``[n_items + 1]``.
        item_users: User of each interaction, by item.

    Returns:
        int64 ``[n_users + n_items]``, items behind users.
    """
    n_users, n_items = indptr.shape[0] - 1, item_ptr.shape[0] - 1
    count = n_users + n_items
    degree = np.empty(count, dtype=np.int64)
    degree[:n_users] = indptr[1:] - indptr[:-1]
    degree[n_users:] = item_ptr[1:] - item_ptr[:-1]
    first = np.zeros(degree.max() + 2, dtype=np.int64)  # where the nodes of a degree begin
    for node in range(count):
        first[degree[node] + 1] += 1
    first = np.cumsum(first)
    after, order, place = first.copy(), np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for node in range(count):
        place[node] = after[degree[node]]
        order[place[node]] = node
        after[degree[node]] += 1
    for turn in range(count):
        node = order[turn]
        is_user = node < n_users
        row = node if is_user else node - n_users
        low, high = (indptr[row], indptr[row + 1]) if is_user else (item_ptr[row], item_ptr[row + 1])
        for entry in range(low, high):
            other = n_users + items[entry] if is_user else item_users[entry]
            if degree[other] <= degree[node]:
                continue
            start = first[degree[other]]
            swapped = order[start]
            order[start], order[place[other]] = other, swapped
            place[swapped], place[other] = place[other], start
            first[degree[other]] += 1
            degree[other] -= 1
    return degree


@fast_jit
def ranked_above(users, items, negatives, user_factors, item_factors, shares):
    """Share of its fixed ``negatives`` ``[n, m]`` that score at least as high as each interaction, into ``shares``."""
    size, count = user_factors.shape[1], negatives.shape[1]
    for row in range(users.shape[0]):
        p, q = user_factors[users[row]], item_factors[items[row]]
        above = 0
        for column in range(count):
            r = item_factors[negatives[row, column]]
            margin = np.float32(0)
            for f in range(size):
                margin += p[f] * (q[f] - r[f])
            if margin <= 0:
                above += 1
        shares[row] = above / count


@fast_jit
def _embed(user, low, count, items, user_factors, item_factors, rows, mean):
    """Products of a user's vector with those of its items, into the first ``count`` of ``rows``, and their mean."""
    mean[:] = 0
    for row in range(count):
        item = items[low + row]
        for f in range(rows.shape[1]):
            rows[row, f] = user_factors[user, f] * item_factors[item, f]
            mean[f] += rows[row, f] / np.float32(count)


@fast_jit
def herd(indptr, items, user_factors, item_factors, quota, kept):
    """Per user, choose ``quota[user]`` interactions one after the other, each bringing the mean nearest to the user's.

    Args:
        indptr: Row offsets of users, int64 ``[n_users + 1]``.
        items: Item of each interaction.
        user_factors: float32 ``[n_users, d]``.
        item_factors: float32 ``[n_items, d]``.
        quota: Interactions to choose, at most the user's own; int64 ``[n_users]``.
        kept: Set to True where chosen, bool ``[n]``, all False before.
    """
    size = user_factors.shape[1]
    longest = np.max(indptr[1:] - indptr[:-1])
    rows, squares = np.empty((longest, size), dtype=np.float32), np.empty(longest, dtype=np.float32)
    mean, owed = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    for user in range(indptr.shape[0] - 1):
        low, count = indptr[user], indptr[user + 1] - indptr[user]
        if not quota[user]:
            continue
        _embed(user, low, count, items, user_factors, item_factors, rows, mean)
        owed[:], squares[:] = 0, 0
        for row in range(count):
            for f in range(size):
                squares[row] += rows[row, f] * rows[row, f]
        for _ in range(quota[user]):
            for f in range(size):
                owed[f] += mean[f]  # as many times the mean as there will be, without what is chosen already
            best, least = -1, np.float32(0)
            for row in range(count):
                if kept[low + row]:
                    continue
                product = np.float32(0)
                for f in range(size):
                    product += rows[row, f] * owed[f]
                distance = squares[row] - 2 * product  # ‖owed − row‖² but for what does not depend on the row
                if best < 0 or distance < least:
                    best, least = row, distance
            kept[low + best] = True
            for f in range(size):
                owed[f] -= rows[best, f]


@fast_jit
def farthest_first(indptr, items, user_factors, item_factors, quota, kept):
    """Per user, choose the interaction nearest the mean, then ever the one farthest from all that are chosen.

    Args:
        indptr: Row offsets of users, int64 ``[n_users + 1]``.
        items: Item of each interaction.
        user_factors: float32 ``[n_users, d]``.
        item_factors: float32 ``[n_items, d]``.
        quota: Interactions to choose, at most the user's own; int64 ``[n_users]``.
        kept: Set to True where chosen, bool ``[n]``, all False before.
    """
    size = user_factors.shape[1]
    longest = np.max(indptr[1:] - indptr[:-1])
    rows, gaps = np.empty((longest, size), dtype=np.float32), np.empty(longest, dtype=np.float32)
    centre = np.empty(size, dtype=np.float32)
    for user in range(indptr.shape[0] - 1):
        low, count = indptr[user], indptr[user + 1] - indptr[user]
        if not quota[user]:
            continue
        _embed(user, low, count, items, user_factors, item_factors, rows, centre)
        for turn in range(quota[user]):
            chosen = -1
            for row in range(count):
                gap = np.float32(0)
                for f in range(size):
                    gap += (rows[row, f] - centre[f]) ** 2
                gaps[row] = gap if turn < 2 else min(gap, gaps[row])  # the mean itself is no centre
                if kept[low + row]:
                    continue
                better = chosen < 0 or (gaps[row] > gaps[chosen] if turn else gaps[row] < gaps[chosen])
                chosen = row if better else chosen
            kept[low + chosen] = True
            centre[:] = rows[chosen]


@fast_jit
def bpr_pulls(users, items, negatives, user_factors, item_factors, pulls, squares):
    """Of each triplet's BPR loss: its slope σ(−margin), into ``pulls``, and its squared gradient, into ``squares``.

    The gradient touches three rows: −pull (q − r) at the user, −pull p at the item, pull p at the negative.
    """
    size = user_factors.shape[1]
    for row in range(users.shape[0]):
        p, q, r = user_factors[users[row]], item_factors[items[row]], item_factors[negatives[row]]
        margin, square = np.float32(0), np.float32(0)
        for f in range(size):
            margin += p[f] * (q[f] - r[f])
            square += (q[f] - r[f]) ** 2 + 2 * p[f] * p[f]
        less = np.exp(-abs(margin))
        pull = (less if margin > 0 else np.float32(1)) / (np.float32(1) + less)
        pulls[row] = pull
        squares[row] = pull * pull * square


@fast_jit
def add_gradients(users, items, negatives, user_factors, item_factors, weights, user_rows, item_rows):
    """Add the triplets' gradients, each times ``−weights / pull``, to ``user_rows`` and ``item_rows``."""
    for row in range(users.shape[0]):
        u, i, j, weight = users[row], items[row], negatives[row], weights[row]
        for f in range(user_factors.shape[1]):
            pushed = weight * user_factors[u, f]
            user_rows[u, f] += weight * (item_factors[i, f] - item_factors[j, f])
            item_rows[i, f] += pushed
            item_rows[j, f] -= pushed


@fast_jit
def along_gradients(users, items, negatives, user_factors, item_factors, user_rows, item_rows, products):
    """Inner product of each triplet's gradient, times ``−1 / pull``, with ``user_rows`` and ``item_rows``."""
    for row in range(users.shape[0]):
        u, i, j = users[row], items[row], negatives[row]
        product = np.float32(0)
        for f in range(user_factors.shape[1]):
            product += (item_factors[i, f] - item_factors[j, f]) * user_rows[u, f]
            product += user_factors[u, f] * (item_rows[i, f] - item_rows[j, f])
        products[row] = product


@fast_jit
def pair_products(users, first, left, right, out):
    """Add Lᵀ R of two sparse tables of items × users with entries at the same places to ``out`` ``[B, B]``."""
    for item in range(first.shape[0] - 1):
        for one in range(first[item], first[item + 1]):
            value, row = left[one], users[one]
            for other in range(first[item], first[item + 1]):
                out[row, users[other]] += value * right[other]


@fast_jit
def sampled_products(rows, columns, users, first, matrix, values, out):
    """Entries of ``matrix`` ``[B, B]`` times a sparse table's transpose at all cells, into ``out`` ``[c]``."""
    for cell in range(rows.shape[0]):
        row, total = rows[cell], np.float32(0)
        for entry in range(first[columns[cell]], first[columns[cell] + 1]):
            total += matrix[row, users[entry]] * values[entry]
        out[cell] = total


@fast_jit
def add_scaled_rows(to, of, values, table, out):
    """Add ``values`` ``[k]`` times rows ``of`` a table ``[·, B]`` to rows ``to`` of ``out``, one after the other."""
    for entry in range(values.shape[0]):
        value, target, source = values[entry], to[entry], of[entry]
        for place in range(table.shape[1]):
            out[target, place] += value * table[source, place]


@fast_jit
def add_sparse_rows(to, of, columns, first, values, out):
    """Add rows ``of`` a sparse table to rows ``to`` of ``out``, one after the other."""
    for place in range(to.shape[0]):
        for entry in range(first[of[place]], first[of[place] + 1]):
            out[to[place], columns[entry]] += values[entry]


@fast_jit
def dots(rows, columns, left, right, out):
    """Dot products of a row of ``left`` ``[B, B]`` and one of ``right`` ``[n, B]`` by cell, into ``out`` ``[c]``."""
    for cell in range(rows.shape[0]):
        row, item, total = rows[cell], columns[cell], np.float32(0)
        for place in range(left.shape[1]):
            total += left[row, place] * right[item, place]
        out[cell] = total
