"""Reshaping and looking at neighbours in few operators of an exported graph.

A block of 100 ms is converted in some milliseconds, and each operator costs a microsecond beside its arithmetic. What a
tracing exporter makes of shapes that it does not know takes three to five operators each time.
"""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor


class _Reshape(torch.autograd.Function):
    """Reshape as ONNX has it: 0 keeps the axis at the same place, -1 takes what is left."""

    @staticmethod
    def forward(context: Any, x: Tensor, sizes: tuple[int, ...]) -> Tensor:
        return x.reshape(_known(x, sizes))

    @staticmethod
    def symbolic(graph: Any, x: Any, sizes: tuple[int, ...]) -> Any:
        return graph.op("Reshape", x, graph.op("Constant", value_t=torch.tensor(sizes)))


def reshape(x: Tensor, *sizes: int) -> Tensor:
    """Return x in another shape: a size of 0 keeps the axis at the same place, one, which is -1, takes what is left."""
    if torch.jit.is_tracing():
        reshaped: Tensor = _Reshape.apply(x, sizes)
        return reshaped
    return x.reshape(_known(x, sizes))


def neighbours(values: Tensor) -> Tensor:
    """Return each value of [B, F] between the one before it and the one behind it, [B, F, 3]; the ends are held."""
    padded = functional.pad(values, (1, 1), mode="replicate")
    unit = torch.eye(3, dtype=values.dtype, device=values.device).unsqueeze(1)  # exact: each product is with 1 or 0
    return functional.conv1d(padded.unsqueeze(1), unit).transpose(1, 2)


def _known(x: Tensor, sizes: tuple[int, ...]) -> list[int]:
    return [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
