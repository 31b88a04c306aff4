"""The proxy of coresets: a short BPRMF training on the observed interactions, and what it tells of each of them."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field

from dconrec_core.condensation._kernels import ranked_above
from dconrec_core.kernels import bpr_losses
from dconrec_core.models.bprmf import BPRMFConfig, Factors
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.registry import Config
from dconrec_core.types import FloatArray, IntArray, Interactions


class ProxyConfig(Config):
    """Settings of the proxy's training; all others are BPRMF's defaults."""

    source_model: ClassVar[str] = "bprmf"
    proxy_epochs: int = Field(20, ge=1)
    """Passes over the observed interactions."""
    proxy_size: int = Field(32, ge=1)
    """Numbers in an embedding."""


def proxy_epochs(
    train: Interactions, config: ProxyConfig, rng: np.random.Generator, options: RunOptions
) -> Iterator[Factors]:
    """Train a proxy on ``train`` and yield it after every epoch: the same object, which moves on.

    Training runs on the CPU, in one thread, whatever the device. One event an epoch: ``proxy_loss``.
    """
    factors = Factors(train, BPRMFConfig(embedding_size=config.proxy_size), rng)
    for epoch in range(1, config.proxy_epochs + 1):
        loss = factors.epoch()
        options.on_epoch(EpochEvent(options.label, epoch, config.proxy_epochs, {"proxy_loss": loss}))
        yield factors


def trained_proxy(train: Interactions, config: ProxyConfig, rng: np.random.Generator, options: RunOptions) -> Factors:
    """The proxy after its last epoch."""
    *_, last = proxy_epochs(train, config, rng, options)
    return last


def inverse_auc(factors: Factors, negatives: IntArray) -> FloatArray:
    """Share of its negatives that the proxy ranks no lower than each interaction, float32 ``[nnz]``."""
    shares = np.empty(len(factors.train), dtype=np.float32)
    ranked_above(factors.train.users, factors.train.items, negatives, factors.users, factors.items, shares)
    return shares


def pairwise_loss(factors: Factors, negatives: IntArray) -> FloatArray:
    """Mean BPR loss of each interaction against its negatives, float32 ``[nnz]``."""
    losses = np.empty(len(factors.train), dtype=np.float32)
    bpr_losses(factors.train.users, factors.train.items, negatives, factors.users, factors.items, losses)
    return losses
