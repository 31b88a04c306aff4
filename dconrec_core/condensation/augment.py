"""Pre-augmentation (method, step 1): the teacher's best unseen items join the observed interactions."""

import numpy as np

from dconrec_core.errors import ConfigError, TrainingError
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import BLOCK_CELLS, ScoreFunction
from dconrec_core.top_k import top_k
from dconrec_core.types import CandidatePool, IntArray, Interactions


def n_pseudo(train: Interactions, pseudo_ratio: float, min_pseudo: int) -> IntArray:
    """Pseudo interactions per user: ``max(min_pseudo, floor(pseudo_ratio * degree))``, at most the user's unseen items.

    Users without any training interaction get none: nothing is known of them. int32 ``[n_users]``.
    """
    wanted = np.maximum(min_pseudo, np.floor(pseudo_ratio * train.user_degree + 1e-9).astype(np.int64))
    wanted = np.minimum(wanted, train.n_items - train.user_degree)
    return np.where(train.user_degree > 0, wanted, 0).astype(np.int32)


def build_pool(
    score: ScoreFunction, train: Interactions, pseudo_ratio: float, min_pseudo: int, options: RunOptions
) -> CandidatePool:
    """All of ``train`` and each user's best unseen items by the teacher's score.

    Users are scored in blocks, so memory does not grow with users × items.

    Args:
        score: The teacher.
        train: Observed training interactions.
        pseudo_ratio: Pseudo interactions as a share of the user's degree.
        min_pseudo: Fewest per user.
        options: Who listens; one event a block.

    Raises:
        ConfigError: ``pseudo_ratio`` or ``min_pseudo`` is negative.
        TrainingError: A score is NaN or +∞; −∞ keeps an item out, as long as enough others remain and nobody has it.
    """
    if pseudo_ratio < 0 or min_pseudo < 0:
        raise ConfigError(
            f"augment.pseudo_ratio {pseudo_ratio} and augment.min_pseudo {min_pseudo} must not be negative"
        )
    wanted = n_pseudo(train, pseudo_ratio, min_pseudo)
    most = int(wanted.max(initial=0))
    block = max(1, BLOCK_CELLS // train.n_items)
    starts = range(0, train.n_users, block)
    users, items, scores = [train.users], [train.items], []
    pseudo_scores = []
    for number, start in enumerate(starts, start=1):
        part = np.arange(start, min(start + block, train.n_users), dtype=np.int32)
        table = score(part)
        in_range = table < np.inf  # a NaN is not
        if not in_range.all():
            row, item = divmod(int(in_range.argmin()), train.n_items)
            raise TrainingError(
                f"the teacher's score of item {item} for user {part[row]} is {table[row, item]}; change teacher.config "
                "(a larger regularization, a lower learning rate) and train the teacher again"
            )
        low, high = train.indptr[part[0]], train.indptr[part[-1] + 1]
        scores.append(table[train.users[low:high] - start, train.items[low:high]])
        best = top_k(table, train.indptr, train.items, part, most)
        rows, places = np.nonzero(np.arange(most) < wanted[part, None])
        chosen = best[rows, places]
        users.append(part[rows])
        items.append(chosen)
        pseudo_scores.append(table[rows, chosen])
        options.on_epoch(EpochEvent(options.label, number, len(starts)))
    all_users, all_items = np.concatenate(users), np.concatenate(items)
    order = np.lexsort((all_items, all_users))
    return CandidatePool(
        Interactions.of(all_users, all_items, train.n_users, train.n_items),
        observed=order < len(train),
        score=np.concatenate((*scores, *pseudo_scores)).astype(np.float32)[order],
    )
