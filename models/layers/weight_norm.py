"""Convolutions with weight normalisation whose parameters bear the names weight_g and weight_v.

torch.nn.utils.parametrizations.weight_norm would name them otherwise, and its predecessor cannot be copied, which the
averaged generator needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils import parametrize

Convolution = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d


class WeightNormConv1d(nn.Conv1d):
    """nn.Conv1d with normalised weights; it also takes lines, see as_line."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        _split_weight(self)

    def forward(self, input: Tensor) -> Tensor:
        """Return [B, C', T'] from [B, C, T], or [B, C', 1, T'] from [B, C, 1, T]."""
        weight = _join_weight(self)
        if input.dim() == 3:
            result: Tensor = self._conv_forward(input, weight, self.bias)
            return result
        stride, padding, dilation = (1, self.stride[0]), (0, int(self.padding[0])), (1, self.dilation[0])
        return functional.conv2d(input, weight.unsqueeze(2), self.bias, stride, padding, dilation, self.groups)


class WeightNormConv2d(nn.Conv2d):
    """nn.Conv2d with normalised weights."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        _split_weight(self)

    def forward(self, input: Tensor, *, is_transposed: bool = False) -> Tensor:
        """Return [B, C', H', W'] from [B, C, H, W]; transposed, [B, C', W', H'] from [B, C, W, H]."""
        weight = _join_weight(self)
        if not is_transposed:
            result: Tensor = self._conv_forward(input, weight, self.bias)
            return result
        stride, padding = self.stride[::-1], cast(tuple[int, int], self.padding)[::-1]
        return functional.conv2d(input, weight.transpose(2, 3), self.bias, stride, padding)


class WeightNormConvTranspose1d(nn.ConvTranspose1d):
    """nn.ConvTranspose1d with weights normalised per input channel; it also takes lines, see as_line."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        _split_weight(self)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return [B, C', T'] from [B, C, T], or [B, C', 1, T'] from [B, C, 1, T]; output_size has no effect."""
        weight = _join_weight(self)
        if input.dim() == 4:
            stride, padding = (1, self.stride[0]), (0, int(self.padding[0]))
            return functional.conv_transpose2d(input, weight.unsqueeze(2), self.bias, stride, padding)
        return functional.conv_transpose1d(input, weight, self.bias, self.stride, self.padding)  # type: ignore[arg-type]


WEIGHT_NORMED = (WeightNormConv1d, WeightNormConv2d, WeightNormConvTranspose1d)


def prefers_lines(x: Tensor) -> bool:
    """Return whether convolutions of x are faster over lines than over rows of samples.

    So they are on a processor in bfloat16, most of all for long dilated kernels (two to four times); in fp32 the
    gradient of the weights would be slower.
    """
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def as_line(x: Tensor) -> Tensor:
    """Return [B, C, T] as an image [B, C, 1, T] with the channels innermost in memory."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _split_weight(module: Convolution) -> None:
    """Replace the weight by its direction weight_v and its length weight_g along the first axis."""
    direction = module.weight.detach().clone()
    del module._parameters["weight"]
    module.weight_g = nn.Parameter(torch.norm_except_dim(direction, 2, 0))
    module.weight_v = nn.Parameter(direction)


@contextmanager
def cached_weights(network: nn.Module) -> Iterator[None]:
    """Put the weights of a network together once for all its passes within the context."""
    normed = [part for part in network.modules() if isinstance(part, WEIGHT_NORMED)]
    for part in normed:
        part.__dict__["cached_weight"] = None
    try:
        # the same for torch's own weight normalisation
        with parametrize.cached():
            yield
    finally:
        for part in normed:
            del part.__dict__["cached_weight"]


def _join_weight(module: Convolution) -> Tensor:
    if "cached_weight" not in module.__dict__:
        return _normalized(module)
    if module.__dict__["cached_weight"] is None:
        weight = _normalized(module)
        device = weight.device.type
        if torch.is_autocast_enabled(device):  # which would cast again in each pass, as it does with all but parameters
            weight = weight.to(torch.get_autocast_dtype(device))
        module.__dict__["cached_weight"] = weight
    cached: Tensor = module.__dict__["cached_weight"]
    return cached


def _normalized(module: Convolution) -> Tensor:
    # one fused pass forward and one backward: the discriminator has 70 million of these
    return torch._weight_norm(module.weight_v, module.weight_g, 0)  # type: ignore[arg-type]
