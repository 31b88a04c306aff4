"""Randomness by name: one seed gives every part of the system its own independent, reproducible stream."""

import hashlib

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called ``names``, the same on every machine and in every process."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_rng(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy generator of the stream called ``names``."""
    return np.random.default_rng(derive_seed(seed, *names))


def torch_rng(seed: int, *names: str | int) -> torch.Generator:
    """Torch CPU generator of the stream called ``names``; draw on the CPU, move afterwards, so devices agree."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))
