"""Pitch in unvoiced frames as a straight line between the voiced ones around them."""

import torch
from torch import Tensor


def fill_unvoiced(f0_hz: Tensor) -> Tensor:
    """Fill frames of 0 by linear interpolation, and before the first and after the last voiced frame by its value.

    Args:
        f0_hz: [B, F]; rows of zeros stay.
    """
    frames = torch.arange(f0_hz.shape[1], device=f0_hz.device).unsqueeze(0) + torch.zeros_like(f0_hz, dtype=torch.int64)
    voiced = f0_hz > 0
    rank = torch.cumsum(voiced.to(torch.int64), dim=1)
    count = rank[:, -1:]
    # position of the k-th voiced frame in slot k; unvoiced frames write to a slot that nobody reads
    slot = torch.where(voiced, rank, torch.zeros_like(rank))
    positions = torch.zeros_like(torch.cat([frames, frames[:, :1]], dim=1)).scatter(1, slot, frames)
    before = positions.gather(1, rank.clamp(min=1).minimum(count))
    after = positions.gather(1, torch.where(voiced, rank, rank + 1).minimum(count))
    low, high = f0_hz.gather(1, before), f0_hz.gather(1, after)
    share = (frames - before).to(f0_hz.dtype) / (after - before).clamp(min=1).to(f0_hz.dtype)
    return low + (high - low) * share.clamp(0.0, 1.0)
