"""The ends of what a network is given, held beyond them: for blocks that know nothing of what is beside them."""

import torch
from torch import Tensor

HELD_FRAMES = 6  # more gain nothing: benchmarks/results/edges_2core-avx512_2026-12-02.md


def with_held_ends(values: Tensor) -> Tensor:
    """Return [B, F + 2 * HELD_FRAMES, ...], the first and the last frame of [B, F, ...] repeated."""
    return torch.cat([*[values[:, :1]] * HELD_FRAMES, values, *[values[:, -1:]] * HELD_FRAMES], dim=1)


def without_held_ends(values: Tensor) -> Tensor:
    """Return the frames [B, F, ...] between the held ones."""
    return values[:, HELD_FRAMES:-HELD_FRAMES]
