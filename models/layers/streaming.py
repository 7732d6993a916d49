"""What a network must remember to go on with the next block of a stream."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Layout = Sequence[tuple[str, tuple[int, ...]]]


class Memory:
    """Tensors that pass from one block to the next, packed into one row of numbers.

    A part of a stream calls `recall` for what it kept after the previous block and `keep` for what the next one needs,
    once each and in the same order in every block. Zeros are a fresh start.

    Args:
        packed: [B, N] what `packed` returned after the previous block; None: a fresh start.
        layout: name and shape of all that is in it, from a memory that has gone through a block.
    """

    def __init__(self, packed: Tensor | None = None, layout: Layout = ()) -> None:
        self._parts: list[Tensor] | None = None
        if packed is not None:
            self._parts = list(torch.split(packed, [math.prod(shape) for _, shape in layout], dim=1))
        self._kept: list[Tensor] = []
        self.layout: list[tuple[str, tuple[int, ...]]] = []

    def recall(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return what was kept under a name, [B, *shape]; zeros at a fresh start.

        Args:
            name: what it is, for the layout.
            shape: without the batch.
            like: any tensor [B, ...] of the block; gives batch, type and device of the zeros.
        """
        self.layout.append((name, shape))
        if self._parts is None:
            return torch.zeros((like.shape[0], *shape), dtype=like.dtype, device=like.device)
        part = self._parts[len(self.layout) - 1]
        return part if len(shape) == 1 else part.reshape(-1, *shape)

    def keep(self, value: Tensor) -> None:
        """Keep [B, ...] for the next block."""
        self._kept.append(value if value.dim() == 2 else value.flatten(1))

    def extend(self, name: str, x: Tensor, count: int, *, axis: int = 1) -> Tensor:
        """Return the `count` values before a block and the block; remembers the end of the two for the next block.

        Args:
            name: what it is, for the layout.
            x: [B, ...], the block.
            count: how many values along the axis, 1 or more.
            axis: that of time, 1 or more.
        """
        sizes = [int(size) for size in x.shape]  # a trace must not compute them
        before = self.recall(name, (*sizes[1:axis], count, *sizes[axis + 1 :]), x)
        longer = torch.cat([before, x], dim=axis)
        self.keep(longer.narrow(axis, sizes[axis], count))
        return longer

    def packed(self) -> Tensor:
        """Return all that was kept, [B, N]."""
        return torch.cat(self._kept, dim=1)

    @property
    def size(self) -> int:
        """N, numbers that are kept."""
        return sum(value.shape[1] for value in self._kept)


def overlapping_frames(x: Tensor, size: int, hop: int) -> Tensor:
    """Return [..., F, size], the frames of [..., T] that begin every `hop` samples and are whole."""
    count = (int(x.shape[-1]) - size) // hop + 1
    places = hop * torch.arange(count, device=x.device)[:, None] + torch.arange(size, device=x.device)
    return x[..., places]
