"""The inner solution of ``synthetic-users``: what a ridge autoencoder of the made-up histories ranks, in closed form.

With C the histories, p and r its item and user degrees, F = D_{r+1}^-c C D_{p+ε}^-a and Y = C D_{p+ε}^-b, a real
user's history x is scored by x Fᵀ (FFᵀ + λI)⁻¹ Y, each item's column divided by (1 − its leverage)^d, which for d = 1
and no other exponents ranks unseen items as EASE does (Steck, WWW 2019, arXiv:1905.03375). Nothing larger than users ×
items of the *set* is held, and a, b, c, d, ε, λ are learned with C. It is the model ``ridge`` of the registry made
differentiable, but that 1 − leverage is kept further from 0.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dconrec_core.condensation.kept import Places

Parameters = dict[str, torch.Tensor]
START = {
    "input_exponent": 0.3,
    "output_exponent": 0.5,
    "user_exponent": 0.45,
    "leverage_exponent": 0.5,
    "log_smoothing": 0.0,
    "log_regularization": math.log(10.0),
    "log_sharpness": math.log(200.0),
}
CPU = torch.device("cpu")
SMALLEST = 0.05  # 1 − leverage: a history of few items can nearly determine one


def apply(function: type[torch.autograd.Function], *values: Any) -> torch.Tensor:
    """``function.apply``, with a type."""
    result: torch.Tensor = function.apply(*values)
    return result


def start_parameters(device: torch.device) -> Parameters:
    """What a reader's numbers are before it has learned."""
    return {name: torch.tensor(value, device=device, requires_grad=True) for name, value in START.items()}


def log_popularity(known: Parameters, counts: torch.Tensor) -> torch.Tensor:
    """log(p + ε) of item degrees, ``[n]``."""
    return torch.log(counts + known["log_smoothing"].exp())


def activity(known: Parameters, lengths: torch.Tensor) -> torch.Tensor:
    """What a history is multiplied by for its length, ``[m]``."""
    return (lengths + 1).pow(-known["user_exponent"])


def input_scale(known: Parameters, popularity: torch.Tensor) -> torch.Tensor:
    """What an item's column of the inputs is multiplied by, ``[n]``."""
    return torch.exp(-known["input_exponent"] * popularity)


def output_scale(known: Parameters, popularity: torch.Tensor, leverage: torch.Tensor) -> torch.Tensor:
    """What an item's column of the outputs is multiplied by, ``[n]``."""
    scale = torch.exp(-known["output_exponent"] * popularity)
    return scale / (1 - leverage).clamp(min=SMALLEST).pow(known["leverage_exponent"])


def sharpness(known: Parameters, lengths: torch.Tensor) -> torch.Tensor:
    """What scores are multiplied by for a softmax over the items, for histories of these lengths."""
    return known["log_sharpness"].exp() / lengths.clamp(min=1).sqrt()


@dataclass(frozen=True)
class Shown:
    """The shown parts of real histories: where they are 1.

    Args:
        rows: User of each entry within the batch, int64 ``[k]``.
        columns: Its item, int64 ``[k]``.
        n_users: Users in the batch, B.
        n_items: Items that the set may mention, n.
        device: Where the dense table lies.
    """

    rows: Places
    columns: Places
    n_users: int
    n_items: int
    device: torch.device = CPU

    @property
    def lengths(self) -> torch.Tensor:
        """Items shown of each user, ``[B]``."""
        return torch.from_numpy(np.bincount(self.rows, minlength=self.n_users).astype(np.float32))

    @cached_property
    def table(self) -> torch.Tensor:
        """As a dense table of items × users, ``[n, B]``."""
        table = torch.zeros(self.n_items, self.n_users)
        table.view(-1)[torch.from_numpy(self.columns * self.n_users + self.rows)] = 1
        return table.to(self.device)


class Reader:
    """Its few numbers, learned beside the histories.

    Args:
        n_users: Made-up users, m.
        device: Where to compute.
    """

    def __init__(self, n_users: int, device: torch.device) -> None:
        self.parameters: Parameters = start_parameters(device)
        self.identity = torch.eye(n_users, device=device)

    def tables(self, histories: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """G and Z of the scores x Gᵀ Z, ``[m, n]`` each, for histories ``[m, n]`` with entries in [0, 1]."""
        known = self.parameters
        popularity = log_popularity(known, histories.sum(dim=0))
        active = activity(known, histories.sum(dim=1))
        inputs = histories * input_scale(known, popularity) * active[:, None]
        gram = inputs @ inputs.T + known["log_regularization"].exp() * self.identity
        solved = torch.linalg.inv(gram) @ inputs
        leverage = (solved * inputs).sum(dim=0)
        return solved, histories * output_scale(known, popularity, leverage)

    def logits(self, histories: torch.Tensor, shown: Shown) -> torch.Tensor:
        """Scores of shown parts of real histories by the histories ``[m, n]``, scaled for a softmax over the items.

        Returns:
            ``[n, B]``.
        """
        return self.scores(histories, shown.table)

    def scores(self, histories: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """The same of any ``queries`` ``[n, B]``, which may be learned too."""
        solved, outputs = self.tables(histories)
        return outputs.T @ (solved @ queries * sharpness(self.parameters, queries.sum(dim=0)))

    def settings(self) -> dict[str, float]:
        """For the card, by the names of the settings of ``ridge``, which takes λ as a list of those to try."""
        known = {name: value.item() for name, value in self.parameters.items()}
        return {
            **{name: round(value, 4) for name, value in known.items() if not name.startswith("log_")},
            "smoothing": round(math.exp(known["log_smoothing"]), 4),
            "regularization": round(math.exp(known["log_regularization"]), 4),
        }
