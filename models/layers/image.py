"""Layers over time as convolutions of images one pixel high, for exported graphs.

For few frames these layers read their weights from memory and little else. onnxruntime reads those of a convolution of
images a fifth faster than those of a matrix product, and its layout of channels last costs no operator of its own.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


def to_image(x: Tensor) -> Tensor:
    """Return [B, C, 1, F] of [B, 1, F, C]."""
    return x.permute(0, 3, 1, 2)


def from_image(x: Tensor) -> Tensor:
    """Return [B, 1, F, C] of [B, C, 1, F]."""
    return x.permute(0, 2, 3, 1)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 0, stride: int = 1) -> Tensor:
    """Return [B, out, 1, F'] of [B, in, 1, F] by a convolution over time with weights [out, in, taps]."""
    return functional.conv2d(x, weight.unsqueeze(2), bias, stride=(1, stride), padding=(0, padding))


def convolve_each(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 0) -> Tensor:
    """Return [B, C, 1, F] of [B, C, 1, F] by one filter for each channel with weights [C, 1, taps]."""
    return functional.conv2d(x, weight.unsqueeze(2), bias, padding=(0, padding), groups=len(weight))


def apply_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return [B, out, 1, F] of [B, in, 1, F] by a linear layer."""
    return convolve(x, layer.weight.unsqueeze(2), layer.bias)


def gelu(x: Tensor) -> Tensor:
    """Return GELU by the error function, in the order of operators that onnxruntime makes one of.

    With the factor 1/2 at the end the simplifier would move it into the weights of the layer behind.
    """
    return (0.5 * x) * (1 + torch.erf(x / math.sqrt(2)))
