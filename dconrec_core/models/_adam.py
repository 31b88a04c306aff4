"""The state of a torch Adam as arrays by name, so that a training goes on exactly where a checkpoint left it."""

import torch

from dconrec_core.checkpoint import Arrays

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def adam_state(optimizer: torch.optim.Adam) -> Arrays:
    """Step count and both moments of every parameter, in order; nothing before the first step."""
    return {
        f"adam.{place}.{name}": state[name].cpu().numpy().copy()
        for place, state in optimizer.state_dict()["state"].items()
        for name in MOMENTS
    }


def restore_adam(optimizer: torch.optim.Adam, state: Arrays) -> None:
    """The inverse of ``adam_state``; other arrays in ``state`` are passed over."""
    content = optimizer.state_dict()
    places = {int(name.split(".")[1]) for name in state if name.startswith("adam.")}
    content["state"] = {
        place: {name: torch.from_numpy(state[f"adam.{place}.{name}"].copy()) for name in MOMENTS} for place in places
    }
    optimizer.load_state_dict(content)
