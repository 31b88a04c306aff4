"""The one place where a device name becomes a torch device, and where the number of threads is known."""

import torch

from dconrec_core.errors import ConfigError
from dconrec_core.options import Device


def resolve_device(device: Device) -> torch.device:
    """``auto`` takes CUDA when there is one.

    Raises:
        ConfigError: CUDA was asked for by name and this machine or this torch build has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device is 'cuda', but torch {torch.__version__} sees no CUDA device; set device: auto or device: cpu"
        )
    return torch.device(device)


def cpu_threads() -> int:
    """Threads that independent compiled loops may use: torch's number, which ``OMP_NUM_THREADS`` sets."""
    return torch.get_num_threads()


def mixed_precision(device: torch.device) -> torch.autocast:
    """Matrix products in bfloat16 on CUDA; weights, sums and everything on the CPU stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
