"""How logits are moved by gradients through a discrete set: Adam, and a running mean that sets are cut from."""

from collections.abc import Iterable

import torch


class Adam:
    """Adam (Kingma and Ba, ICLR 2015, arXiv:1412.6980) with β = 0.9, 0.999 on a reader's few numbers, in place.

    Bit for bit ``torch.optim.Adam`` on the CPU, which imports torch's whole compiler when it is made: 3 s, a fifth of
    what half a per cent of MovieLens-1M takes.

    Args:
        parameters: Leaves with gradients.
        rate: Step size.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], rate: float) -> None:
        self.parameters, self.rate, self.steps = list(parameters), rate, 0
        self.first, self.second = ([torch.zeros_like(each) for each in self.parameters] for _ in range(2))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move what has a gradient."""
        self.steps += 1
        rate, spread = self.rate / (1 - 0.9**self.steps), (1 - 0.999**self.steps) ** 0.5
        for parameter, first, second in zip(self.parameters, self.first, self.second, strict=True):
            if parameter.grad is not None:
                first.lerp_(parameter.grad, 1 - 0.9)
                second.mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=1 - 0.999)
                parameter.addcdiv_(first, (second.sqrt() / spread).add_(1e-8), value=-rate)


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
