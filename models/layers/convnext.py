"""One-dimensional ConvNeXt block (Liu et al. 2022; in 1-D as in Vocos, Siuzdak 2023)."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.recompute import RecomputableBlock


class ConvNeXtBlock(RecomputableBlock):
    """Depthwise convolution over time, then two pointwise layers, added to the input.

    Args:
        channels: C of input and output.
        expansion: width of the hidden layer as a multiple of C.
        kernel_size: odd number of frames that the depthwise convolution sees.
        residual_scale: initial gain of the learned per-channel scale of the branch.
    """

    def __init__(self, channels: int, *, expansion: int = 3, kernel_size: int = 7, residual_scale: float = 0.3) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), residual_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        return x + self.branch(self.depthwise(x).transpose(1, 2)).transpose(1, 2)

    def branch(self, mixed: Tensor) -> Tensor:
        """Return what is added to the input, [B, F, C], of what the depthwise convolution made of it, [B, F, C]."""
        hidden = functional.gelu(self.expand(self.norm(mixed)), approximate="tanh")
        return functional.linear(hidden, *self.scaled_projection())

    def scaled_projection(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the second pointwise layer with the scale in them."""
        return self.project.weight * self.scale[:, None], self.project.bias * self.scale
