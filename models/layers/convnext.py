"""One-dimensional ConvNeXt block (Liu et al. 2022; in 1-D as in Vocos, Siuzdak 2023)."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.image import apply_linear, convolve, convolve_each, from_image, to_image
from models.layers.recompute import RecomputableBlock

# of the tanh form of GELU, written with the logistic function: x * sigmoid(x * (linear + cubic * x^2))
GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715 * GELU_LINEAR


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

    def added_in_graph(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return [F, C] plus what branch makes of [F, C], but for scaled_projection's bias."""
        hidden = self.expand(self.norm(mixed))
        # of GELU's tanh form, in the order of operators that onnxruntime makes one of
        inner = hidden * (GELU_LINEAR / 2) * (1 + 0.044715 * hidden * hidden)
        return torch.addmm(x, hidden * 0.5 * (1 + torch.tanh(inner)), self.scaled_projection()[0].T)

    def product_in_graph(self, x: Tensor) -> Tensor:
        """Return what forward adds to its input but for scaled_projection's bias, of and as [B, 1, F, C]."""
        layer = self.depthwise
        mixed = convolve_each(to_image(x), layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
        hidden = apply_linear(self.expand, to_image(self.norm(from_image(mixed))))
        # GELU_LINEAR + GELU_CUBIC * hidden^2, in an operator that keeps the runtime's layout of images
        ones = torch.ones_like(self.expand.bias)
        slope = convolve_each(hidden.square(), GELU_CUBIC * ones[:, None, None], GELU_LINEAR * ones)
        hidden = hidden * torch.sigmoid(hidden * slope)
        return from_image(convolve(hidden, self.scaled_projection()[0].unsqueeze(2)))

    def scaled_projection(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the second pointwise layer with the scale in them: constants of a graph."""
        return self.project.weight * self.scale[:, None], self.project.bias * self.scale
