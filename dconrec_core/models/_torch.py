"""What trainings in torch share: their tables as arrays by name, and how one goes on exactly where another stopped."""

import numpy as np
import numpy.typing as npt
import torch

from dconrec_core.checkpoint import Arrays
from dconrec_core.ranking import DotProducts, ScoreFunction

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def products_on(device: torch.device, users: torch.Tensor, items: torch.Tensor) -> ScoreFunction:
    """``DotProducts`` of two tables that are on ``device``, computed there."""
    return lambda ids: (users[torch.from_numpy(ids).to(device).long()] @ items.T).cpu().numpy()


def moved_to(device: torch.device, score: ScoreFunction) -> ScoreFunction:
    """The same products computed on ``device``; on the CPU as they are, for ``top_items`` ranks by those faster."""
    if device.type == "cpu" or not isinstance(score, DotProducts):
        return score
    users, items = (torch.from_numpy(table).to(device) for table in (score.users, score.items))
    return products_on(device, users, items)


class TorchTraining:
    """Parameters moved by Adam, and the random streams beside them; a part of every ``Trainer`` in torch.

    Args:
        parameters: Initial values by name.
        learning_rate: Step size of Adam.
        random: Stream of the compiled kernels, uint64 ``[1]``, which they advance in place.
        rng: Source of the seed of torch's own stream.
        device: Where to train.
        weight_decay: Adam's own, on all parameters.
    """

    def __init__(
        self,
        parameters: Arrays,
        learning_rate: float,
        random: npt.NDArray[np.uint64],
        rng: np.random.Generator,
        device: torch.device,
        weight_decay: float = 0.0,
    ) -> None:
        self.device, self.random = device, random
        self.parameters = {
            name: torch.from_numpy(value).to(device).requires_grad_() for name, value in parameters.items()
        }
        self.optimizer = torch.optim.Adam(
            list(self.parameters.values()), lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        self.generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))

    def weights(self) -> Arrays:
        """Copies of all parameters, on the CPU."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.parameters.items()}

    def restore(self, weights: Arrays) -> None:
        """Put them back."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(torch.from_numpy(weights[name]))

    def state(self) -> Arrays:
        """See ``Trainer.state``."""
        moments = {
            f"adam.{place}.{name}": state[name].cpu().numpy().copy()
            for place, state in self.optimizer.state_dict()["state"].items()
            for name in MOMENTS
        }
        return {**self.weights(), **moments, "random": self.random, "generator": self.generator.get_state().numpy()}

    def resume(self, state: Arrays) -> None:
        """See ``Trainer.resume``."""
        self.restore(state)
        optimizer = self.optimizer.state_dict()
        places = {int(name.split(".")[1]) for name in state if name.startswith("adam.")}
        optimizer["state"] = {
            place: {name: torch.from_numpy(state[f"adam.{place}.{name}"].copy()) for name in MOMENTS}
            for place in places
        }
        self.optimizer.load_state_dict(optimizer)
        self.random[:] = state["random"]
        self.generator.set_state(torch.from_numpy(state["generator"].copy()))
