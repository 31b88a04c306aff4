"""How logits are moved by gradients through a discrete set: Adam, and a running mean that sets are cut from."""

import torch


class Descent:
    """Adam with β = 0.9, 0.99 on a table of logits, in place.

    Args:
        logits: Moved by every step; what is infinite stays.
        averaging: Of the running mean.
    """

    def __init__(self, logits: torch.Tensor, averaging: float) -> None:
        self.logits, self.mean, self.averaging = logits, logits.clone(), averaging
        self.first, self.second = torch.zeros_like(logits), torch.zeros_like(logits)

    def step(self, number: int, gradient: torch.Tensor, rate: float) -> None:
        """Step ``number``, from 1, of size ``rate``."""
        self.first.mul_(0.9).add_(gradient, alpha=0.1)
        self.second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        deviation = (self.second / (1 - 0.99**number)).sqrt_().add_(1e-12)
        self.logits.addcdiv_(self.first, deviation, value=-rate / (1 - 0.9**number))
        keep = min(self.averaging, number / (number + 1))
        self.mean.mul_(keep).add_(self.logits, alpha=1 - keep)
