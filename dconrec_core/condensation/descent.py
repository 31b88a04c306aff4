"""How logits are moved by gradients through a discrete set: Adam, and a running mean that sets are cut from."""

import torch


class Descent:
    """Adam with β = 0.9, 0.99 on a table of logits, in place.

    Adam divides a logit's gradient by its own root mean square, so that one that hardly matters moves as far as one
    that does. ``adaptivity`` 1 is Adam; 0 divides all by the same, the root mean square over the table; between them
    lies the geometric mean of both, as in Padam (Chen et al., IJCAI 2020, arXiv:1806.06763).

    Args:
        logits: Moved by every step; what is infinite stays.
        averaging: Of the running mean.
        adaptivity: How much a logit is divided by its own, within 0 and 1.
    """

    def __init__(self, logits: torch.Tensor, averaging: float, adaptivity: float = 1.0) -> None:
        self.logits, self.mean, self.averaging, self.adaptivity = logits, logits.clone(), averaging, adaptivity
        self.first, self.second = torch.zeros_like(logits), torch.zeros_like(logits)

    def step(self, number: int, gradient: torch.Tensor, rate: float) -> None:
        """Step ``number``, from 1, of size ``rate``."""
        self.first.mul_(0.9).add_(gradient, alpha=0.1)
        self.second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        square = self.second / (1 - 0.99**number)
        common = (float(square.mean()) ** 0.5 + 1e-12) ** (1 - self.adaptivity)
        deviation = square.pow_(self.adaptivity / 2).add_(1e-12)
        self.logits.addcdiv_(self.first, deviation, value=-rate / (1 - 0.9**number) / common)
        keep = min(self.averaging, number / (number + 1))
        self.mean.mul_(keep).add_(self.logits, alpha=1 - keep)
