"""Coresets that cover a user's history in the space of a proxy: by its mean, or to its edges.

An interaction lies at the elementwise product of the proxy's vectors of its user and its item; the sum over that
product is the proxy's score. Users are covered one by one, each by the same number of interactions.
"""

import numpy as np
import numpy.typing as npt

from dconrec_core.condensation._kernels import farthest_first, herd
from dconrec_core.condensation.base import equal_quota
from dconrec_core.condensation.coreset import Coreset
from dconrec_core.condensation.proxy import ProxyConfig, trained_proxy
from dconrec_core.options import RunOptions
from dconrec_core.types import BoolArray, FloatArray, Interactions

Quota = npt.NDArray[np.int64]


class CoveringConfig(ProxyConfig):
    """Settings of ``herding`` and ``k-centre``: those of the proxy."""


class _Covering(Coreset):
    config: CoveringConfig

    def choose(self, train: Interactions, count: int, rng: np.random.Generator, options: RunOptions) -> BoolArray:
        """See ``Coreset.choose``. One event an epoch of the proxy."""
        proxy = trained_proxy(train, self.config, rng, options)
        return self.cover(train, proxy.users, proxy.items, equal_quota(train.user_degree, count))

    def cover(self, train: Interactions, users: FloatArray, items: FloatArray, quota: Quota) -> BoolArray:
        """Mark ``quota[u]`` interactions of every user u, bool ``[nnz]``.

        Args:
            train: To choose from.
            users: Vectors, float32 ``[n_users, d]``.
            items: Vectors, float32 ``[n_items, d]``.
            quota: At most what each user has, int64 ``[n_users]``.
        """
        raise NotImplementedError


class Herding(_Covering):
    """The interactions whose running mean stays nearest to the mean of the user's whole history.

    Kernel herding (Welling, ICML 2009; Chen et al., UAI 2010, arXiv:1203.3472) with the linear kernel, choosing
    greedily by distance and without repeats, as iCaRL does within a class (Rebuffi et al., CVPR 2017,
    arXiv:1611.07725).
    """

    name = "herding"

    def cover(self, train: Interactions, users: FloatArray, items: FloatArray, quota: Quota) -> BoolArray:
        """See ``_Covering.cover``."""
        kept = np.zeros(len(train), dtype=bool)
        herd(train.indptr, train.items, users, items, quota, kept)
        return kept


class KCentre(_Covering):
    """The interactions that leave no other of the user far from a chosen one.

    Greedy k-centre, within a factor of 2 of the best (Gonzalez, 1985), as a coreset: Sener & Savarese, ICLR 2018
    (arXiv:1708.00489). The first is the one nearest to the mean.
    """

    name = "k-centre"

    def cover(self, train: Interactions, users: FloatArray, items: FloatArray, quota: Quota) -> BoolArray:
        """See ``_Covering.cover``."""
        kept = np.zeros(len(train), dtype=bool)
        farthest_first(train.indptr, train.items, users, items, quota, kept)
        return kept
