"""Sums of cycles that stay small: whole cycles, which no sound can tell, are dropped on the way.

Some runtimes compute in single precision whatever a graph says, OpenVINO among them. A plain sum of cycles over a
minute has lost the phase of a pulse there.
"""

import torch.nn.functional as functional
from torch import Tensor

GROUP = 64  # values that are summed before whole numbers are dropped
LEVELS = 3  # groups of groups: of frames of 10 ms the last level sums pieces of 41 s


def cycles_before(cycles: Tensor, levels: int = LEVELS) -> Tensor:
    """Return the sum of [B, N] before each value, from 0 to 1: without whole numbers."""
    fractions = cycles - cycles.floor()
    if levels == 1:
        before = fractions.cumsum(dim=1) - fractions
    else:
        padded = functional.pad(fractions, (0, GROUP - 1))
        groups = padded[:, : (padded.shape[1] // GROUP) * GROUP].reshape(cycles.shape[0], -1, GROUP)
        within = groups.cumsum(dim=2)
        starts = cycles_before(within[:, :, -1], levels - 1)
        before = (within - groups + starts.unsqueeze(-1)).flatten(1)[:, : cycles.shape[1]]
    return before - before.floor()
