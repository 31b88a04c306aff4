"""Coresets by what a proxy found hard to learn: what it forgot again, and what it ranked wrong all along."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dconrec_core.condensation.coreset import ValueCoreset
from dconrec_core.condensation.proxy import ProxyConfig, inverse_auc, pairwise_loss, proxy_epochs
from dconrec_core.options import RunOptions
from dconrec_core.sampling import several_negatives
from dconrec_core.types import BoolArray, Interactions


class ForgettingConfig(ProxyConfig):
    """Settings of ``forgetting``."""

    negatives: int = Field(1, ge=1)
    """Fixed unseen items per interaction; it counts as learnt while it ranks above all of them."""


class Forgetting(ValueCoreset):
    """The interactions that a proxy forgets most often while it learns.

    Forgetting events (Toneva et al., ICLR 2019, arXiv:1812.05159) over the epochs of a proxy recommender, as selection
    via proxy does it for collaborative filtering (Sachdeva et al., WSDM 2022, arXiv:2201.04768). What was never learnt
    counts as forgotten in every epoch.
    """

    name = "forgetting"
    config: ForgettingConfig

    def value(
        self, train: Interactions, rng: np.random.Generator, options: RunOptions
    ) -> npt.NDArray[np.floating[Any]]:
        """See ``ValueCoreset.value``. One event an epoch of the proxy."""
        negatives = several_negatives(train, train.users, self.config.negatives, rng)
        learnt = [inverse_auc(factors, negatives) == 0 for factors in proxy_epochs(train, self.config, rng, options)]
        return forgetting_events(np.stack(learnt)).astype(np.float64)


def forgetting_events(learnt: BoolArray) -> npt.NDArray[np.int64]:
    """How often each interaction was known after an epoch and not after the next; ``T`` where it was never known.

    Args:
        learnt: Whether it was known, epoch by epoch, bool ``[T, n]``.

    Returns:
        int64 ``[n]``.
    """
    forgotten = (learnt[:-1] & ~learnt[1:]).sum(axis=0)
    return np.where(learnt.any(axis=0), forgotten, len(learnt))


class LossConfig(ProxyConfig):
    """Settings of ``loss``."""

    measure: Literal["inverse-auc", "bpr"] = "inverse-auc"
    """What is averaged over epochs: the share of negatives ranked above an interaction, or its BPR loss."""
    negatives: int = Field(8, ge=1)
    """Fixed unseen items per interaction."""
    keep: Literal["hardest", "easiest"] = "hardest"
    """Which end of the list."""


class Loss(ValueCoreset):
    """The interactions that a proxy ranks worst, or best, on average over its training.

    Selection via proxy for collaborative filtering: an interaction's importance is its inverse AUC against sampled
    negatives, averaged over the proxy's epochs (SVP-CF; Sachdeva et al., WSDM 2022, arXiv:2201.04768). Here the
    negatives are the same in every epoch.
    """

    name = "loss"
    config: LossConfig

    def value(
        self, train: Interactions, rng: np.random.Generator, options: RunOptions
    ) -> npt.NDArray[np.floating[Any]]:
        """See ``ValueCoreset.value``. One event an epoch of the proxy."""
        measure = inverse_auc if self.config.measure == "inverse-auc" else pairwise_loss
        negatives, total = several_negatives(train, train.users, self.config.negatives, rng), np.zeros(len(train))
        for factors in proxy_epochs(train, self.config, rng, options):
            total += measure(factors, negatives)
        return total if self.config.keep == "hardest" else -total
