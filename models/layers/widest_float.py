"""The widest floating point numbers that a device computes with."""

import torch


def widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on Apple's GPUs (mps), which have nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64
