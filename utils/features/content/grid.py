"""Weights of networks on a grid of 8 bits: a row is whole numbers from -127 to 127 times a scale of its own.

The scale is a half precision number, so each product is exact in 32 bits: the weights are the same wherever they are
multiplied out, in PyTorch or in a graph that stores the whole numbers (utils/export/storage.py).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from utils.errors import FormatError

LEVELS = 127
SCALE_SUFFIX = ".scale"
SMALLEST_SCALE = torch.finfo(torch.float16).tiny
SMALLEST = 32_768  # values of a tensor; smaller ones stay as they are


def to_grid(tensors: Mapping[str, Tensor], keep: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Return tensors of which the large matrices are int8 [out, ...], each with "<name>.scale" [out] in half precision.

    A matrix with a row whose scale would be too small for half precision stays as it is.

    Args:
        tensors: of a network.
        keep: names of those that stay as they are.
    """
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name in keep or value.dim() < 2 or value.numel() < SMALLEST:
            stored[name] = value
            continue
        rows = value.float().flatten(1)
        peak = rows.abs().amax(dim=1)
        if ((peak > 0) & (peak < LEVELS * SMALLEST_SCALE)).any():
            stored[name] = value
            continue
        scale = (peak / LEVELS).clamp(min=SMALLEST_SCALE).half()
        whole = torch.round(rows / scale.float()[:, None]).clamp(-LEVELS, LEVELS)
        stored |= {name: whole.to(torch.int8).view_as(value), name + SCALE_SUFFIX: scale}
    return stored


def from_grid(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that to_grid was given, in float32 and on the grid.

    Raises:
        FormatError: if a tensor of whole numbers has no scale for each row.
    """
    tensors = {}
    for name, value in stored.items():
        if name.endswith(SCALE_SUFFIX) and name.removesuffix(SCALE_SUFFIX) in stored:
            continue
        if value.dtype == torch.int8:
            scale = stored.get(name + SCALE_SUFFIX)
            if scale is None or scale.shape != value.shape[:1]:
                raise FormatError(f"{name} is in 8 bits but has no scale for each of its {len(value)} rows")
            value = value.float() * scale.float().view(-1, *[1] * (value.dim() - 1))
        tensors[name] = value.float()
    return tensors
