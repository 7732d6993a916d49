"""The Fourier transform of real frames in two stages of small matrices (Cooley and Tukey 1965).

One matrix for all of it would be read from memory for every block of a stream, and reading it costs more than the
arithmetic; the operators of fast transforms are slow or absent in the runtimes of voices.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class RealFourier(nn.Module):
    """Transform of N real samples to N/2 + 1 bins and back.

    With N = P * Q, n = Q p + q and k = r + P s: X[r + P s] = sum_q W_Q^(q s) W_N^(q r) sum_p W_P^(p r) x[Q p + q].

    Args:
        size: N, even, a product of two numbers near its root.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.num_bins = size, size // 2 + 1
        self.rows = max(number for number in range(1, math.isqrt(size) + 1) if size % number == 0)
        self.columns = size // self.rows
        self.half = self.columns // 2 + 1
        rows, columns = torch.arange(self.rows), torch.arange(self.columns)
        cosine, sine = _waves(rows, rows, self.rows)
        self._store("first", torch.cat([cosine, sine]))  # [2P, P]
        cosine, sine = _waves(rows, columns, size)
        self._store("turn_cosine", cosine.repeat(2, 1))  # [2P, Q]
        self._store("turn_sine", torch.cat([sine, -sine]))
        cosine, sine = _waves(columns, columns[: self.half], self.columns)
        self._store("second", torch.cat([torch.cat([cosine, -sine], 1), torch.cat([sine, cosine], 1)]))  # [2Q, 2H]
        weight = torch.full((self.num_bins,), 2.0 / size, dtype=torch.float64)
        weight[0] = weight[-1] = 1.0 / size
        self._store("weight", weight)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [..., N/2 + 1], of [..., N]."""
        rows, size = self.rows, self.size
        grid = frames.reshape(*map(int, frames.shape[:-1]), rows, self.columns)
        halves = torch.matmul(self.get_buffer("first"), grid)  # [..., 2P, Q]: cosines above sines, i.e. real above -imaginary
        swapped = torch.cat([halves[..., rows:, :], halves[..., :rows, :]], dim=-2)
        turned = halves * self.get_buffer("turn_cosine") - swapped * self.get_buffer("turn_sine")
        pairs = torch.cat([turned[..., :rows, :], -turned[..., rows:, :]], dim=-1)  # [..., P, 2Q]
        both = torch.matmul(pairs, self.get_buffer("second"))
        flat = [part.transpose(-1, -2).flatten(-2)[..., : size // 2 + 1] for part in both.chunk(2, dim=-1)]
        return flat[0], flat[1]

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return [..., N] from real and imaginary part, each [..., N/2 + 1]."""
        rows, weight = self.rows, self.get_buffer("weight")
        missing = rows * self.half - self.num_bins
        grids = [
            functional.pad(part * weight, (0, missing)).reshape(*map(int, real.shape[:-1]), self.half, rows).transpose(-1, -2)
            for part in (real, imaginary)
        ]
        pairs = torch.matmul(torch.cat(grids, dim=-1), self.get_buffer("second").T)  # [..., P, 2Q]
        columns = self.columns
        halves = torch.cat([pairs[..., :columns], -pairs[..., columns:]], dim=-2)  # [..., 2P, Q]
        swapped = torch.cat([halves[..., rows:, :], halves[..., :rows, :]], dim=-2)
        turned = halves * self.get_buffer("turn_cosine") + swapped * self.get_buffer("turn_sine")
        grid = torch.matmul(self.get_buffer("first").T, turned)
        return grid.flatten(-2)

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float(), persistent=False)


def _waves(first: Tensor, second: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the products of two ranges, [len(first), len(second)] in double precision."""
    turns = torch.remainder(first[:, None] * second[None], period).double() / period
    return torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
