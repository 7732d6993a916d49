"""Blocks that can give back memory: computed again in the backward pass instead of remembered."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class RecomputableBlock(nn.Module):
    """A part of a network that remembers only its inputs while `recompute` is set (Chen et al. 2016).

    It costs a second forward pass and changes no result: nothing in the forward of a subclass is random.
    """

    recompute = False

    def __call__(self, *inputs: Any) -> Any:
        """Run the block."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(super().__call__, *inputs, use_reentrant=False, preserve_rng_state=False)
        return super().__call__(*inputs)
