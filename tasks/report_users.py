"""Some users of an inductive set: who they are like, since nobody in the source is one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dconrec_core.types import Interactions
from tasks.report_history import titles_of

N_SHOWN, N_TITLES = 6, 8
BATCH = 512
"""Real users compared at a time: what is held is one row of cosines each."""


@dataclass(frozen=True)
class OwnUser:
    """A user of the set, and the real users who are more like this one than like any other."""

    user_id: str
    n_interactions: int
    titles: Sequence[str]  # the first few
    n_nearest: int
    share: float  # of the real users with a history


@dataclass(frozen=True)
class UserBase:
    """The users of an inductive set with the largest neighbourhoods, largest first."""

    shown: Sequence[OwnUser]
    n_users: int
    n_real: int  # with a history
    n_apart: int  # real users who share no item with any of the set


def user_base(train: Interactions, condensed: pd.DataFrame, items: pd.DataFrame) -> UserBase:
    """Look for each real user's nearest user of the set.

    Args:
        train: The training interactions of the real users.
        condensed: Columns user (numbered for the set alone), item, user_id, keep_prob.
        items: The catalogue: item, item_id, and title where the source has one.
    """
    n_users = int(condensed["user"].max()) + 1
    histories = Interactions.of(condensed["user"], condensed["item"], n_users, train.n_items)
    nearest = nearest_users(train, histories)
    n_nearest = np.bincount(nearest[nearest >= 0], minlength=n_users)
    n_real, titles = int((train.user_degree > 0).sum()), titles_of(items)
    # Within a history the surest first, then the most popular: what tells most of it in a few titles.
    order = np.lexsort((condensed["item"], -train.item_degree[condensed["item"]], -condensed["keep_prob"]))
    by_user = condensed.iloc[order].groupby("user")

    def shown(user: int) -> OwnUser:
        own = by_user.get_group(user)
        first = [titles.get(item, f"item {item}") for item in own["item"].head(N_TITLES).tolist()]
        count = int(n_nearest[user])
        return OwnUser(str(own["user_id"].iloc[0]), len(own), first, count, count / max(n_real, 1))

    largest = np.argsort(-n_nearest, kind="stable")[:N_SHOWN].tolist()
    return UserBase([shown(user) for user in largest], n_users, n_real, n_apart=n_real - int(n_nearest.sum()))


def nearest_users(train: Interactions, histories: Interactions) -> npt.NDArray[np.int64]:
    """The user of ``histories`` with the largest cosine to each user of ``train``, int64 ``[train.n_users]``.

    Both histories count as 0/1 vectors over the items. Ties go to the lower number; -1 where no item is shared.
    """
    # The real user's own length changes no order, so dividing by the other's alone gives the same nearest.
    lengths = np.sqrt(np.maximum(histories.user_degree, 1))
    real, own = train.csr(), histories.csr().T.tocsr()
    nearest = np.full(train.n_users, -1, dtype=np.int64)
    for start in range(0, train.n_users, BATCH):
        alike = (real[start : start + BATCH] @ own).toarray() / lengths
        nearest[start : start + BATCH] = np.where(alike.max(axis=1) > 0, alike.argmax(axis=1), -1)
    return nearest
