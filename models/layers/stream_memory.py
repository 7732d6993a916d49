"""What a network must remember to go on with the next block of a stream."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_TOGETHER = 4096  # numbers; larger ones are not copied once more to save an operator
Layout = Sequence[tuple[str, tuple[int, ...]]]


class Memory:
    """Tensors that pass from one block to the next, packed into one row of numbers.

    A part of a stream calls `recall` for what it kept after the previous block and `keep` for what the next one needs,
    once each and in the same order in every block; `recall_rows` and `keep_rows` are the same for one stream without
    the axis of the batch. Zeros are a fresh start. What has one shape lies together in the row of numbers: a graph so
    takes it apart and puts it together in few operators.

    Args:
        packed: [1, N] what `packed` returned after the previous block; None: a fresh start.
        layout: name and shape of all that is in it, from a memory that has gone through a block.
    """

    def __init__(self, packed: Tensor | None = None, layout: Layout = ()) -> None:
        self._groups = _Groups(packed, layout) if packed is not None else None
        self._kept: list[_Kept] = []
        self.layout: list[tuple[str, tuple[int, ...]]] = []

    @property
    def is_fresh(self) -> bool:
        """Whether there was no block before."""
        return self._groups is None

    def recall(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return what was kept under a name, [B, *shape]; zeros at a fresh start.

        Args:
            name: what it is, for the layout.
            shape: without the batch.
            like: any tensor [B, ...] of the block; gives batch, type and device of the zeros.
        """
        self.layout.append((name, shape))
        if self._groups is None:
            return torch.zeros((like.shape[0], *shape), dtype=like.dtype, device=like.device)
        return self._groups.part(len(self.layout) - 1, as_rows=False)

    def recall_rows(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return what was kept under a name, of the shape that is given; zeros at a fresh start."""
        self.layout.append((name, shape))
        if self._groups is None:
            return torch.zeros(shape, dtype=like.dtype, device=like.device)
        return self._groups.part(len(self.layout) - 1, as_rows=True)

    def keep(self, value: Tensor) -> None:
        """Keep [B, ...] for the next block."""
        self._kept.append(_Kept(value, 1, 0, int(value.shape[1])))

    def keep_rows(self, value: Tensor, first: int = 0, count: int | None = None) -> None:
        """Keep rows of [R, ...] for the next block: `count` from `first` on, or all."""
        self._kept.append(_Kept(value, 0, first, int(value.shape[0]) if count is None else count))

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
        self._kept.append(_Kept(longer, axis, sizes[axis], count))
        return longer

    def packed(self) -> Tensor:
        """Return all that was kept, [1, N]."""
        return torch.cat([_joined([self._kept[index] for index in group]) for group in _alike(self.layout)], dim=1)

    @property
    def size(self) -> int:
        """N, numbers that are kept."""
        return sum(math.prod(shape) for _, shape in self.layout)


class _Kept(NamedTuple):
    """`length` values from `first` on along an axis; along axis 0 there is no batch."""

    value: Tensor
    axis: int
    first: int
    length: int


class _Groups:
    """What was kept, by shape; taken apart in the form in which it is first asked for."""

    def __init__(self, packed: Tensor, layout: Layout) -> None:
        groups = _alike(layout)
        self._shapes = [layout[group[0]][1] for group in groups]
        self._lengths = [len(group) for group in groups]
        sizes = [length * math.prod(shape) for length, shape in zip(self._lengths, self._shapes, strict=True)]
        self._pieces = torch.split(packed, sizes, dim=1)
        self._positions = {
            index: (number, group.index(index)) for number, group in enumerate(groups) for index in group
        }
        self._forms: dict[tuple[int, bool], Sequence[Tensor]] = {}

    def part(self, index: int, *, as_rows: bool) -> Tensor:
        """Return the part of that number in the layout: its rows, or with a batch of one."""
        number, position = self._positions[index]
        if (number, as_rows) not in self._forms:
            self._forms[number, as_rows] = self._split(number, as_rows)
        return self._forms[number, as_rows][position]

    def _split(self, number: int, as_rows: bool) -> Sequence[Tensor]:
        piece, shape, length = self._pieces[number], self._shapes[number], self._lengths[number]
        if len(shape) == length == 1 and not as_rows:
            return [piece]
        rows = shape[0] if as_rows else 1
        shaped = piece.reshape(length * rows, *(shape[1:] if as_rows else shape))
        return torch.split(shaped, rows) if length > 1 else [shaped]


def _alike(layout: Layout) -> list[list[int]]:
    """Return the indices into a layout of what is taken together: small parts of one shape, each large one alone."""
    found: dict[tuple[int, ...], list[int]] = {}
    for index, (_, shape) in enumerate(layout):
        found.setdefault(shape if math.prod(shape) <= LARGEST_TOGETHER else (-index, *shape), []).append(index)
    return list(found.values())


def _joined(kept: list[_Kept]) -> Tensor:
    """Return [1, n] of what has one shape."""
    value, axis, first, count = kept[0]
    size = int(value.shape[axis])
    is_one_cut = len({(part.value.dim(), *part[1:], *map(int, part.value.shape)) for part in kept}) == 1
    if not is_one_cut:
        joined = torch.cat([part.value.narrow(*part[1:]).reshape(1, -1) for part in kept], dim=1)
    elif count == size:
        joined = torch.cat([part.value for part in kept]) if len(kept) > 1 else value
    elif axis == 0 and len(kept) > 1:
        rows = torch.arange(len(kept))[:, None] * size + torch.arange(first, first + count)
        joined = torch.cat([part.value for part in kept])[rows.flatten().to(value.device)]
    else:
        joined = (torch.cat([part.value for part in kept]) if len(kept) > 1 else value).narrow(axis, first, count)
    return joined if joined.dim() == 2 and joined.shape[0] == 1 else joined.reshape(1, -1)


def overlapping_frames(x: Tensor, size: int, hop: int, count: int | None = None) -> Tensor:
    """Return [..., F, size], the whole frames of [..., T] that begin every `hop` samples; of a count, the last ones."""
    first = 0
    if count is None:
        count = (int(x.shape[-1]) - size) // hop + 1
    else:
        first = int(x.shape[-1]) - size - (count - 1) * hop
    indices = first + hop * torch.arange(count, device=x.device)[:, None] + torch.arange(size, device=x.device)
    return x[..., indices]
