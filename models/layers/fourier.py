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
        self.kept = self.columns // 2 + 1
        rows, columns = torch.arange(self.rows), torch.arange(self.columns)
        cosine, sine = _waves(rows, rows, self.rows)
        self._store(
            "first", torch.cat([cosine, sine, sine, -cosine])
        )  # real, -imaginary; the same, turned by 90 degrees
        cosine, sine = _waves(rows, columns, size)
        self._store("turn_cosine", cosine.repeat(2, 1))  # [2P, Q]
        self._store("turn_sine", sine.repeat(2, 1))
        cosine, sine = _waves(columns, columns[: self.kept], self.columns)
        second = torch.stack([torch.cat([cosine, -sine], 1), torch.cat([-sine, -cosine], 1)])
        self._store("second", second)  # [2, Q, 2H]
        weight = torch.full((self.num_bins,), 2.0 / size, dtype=torch.float64)
        weight[0] = weight[-1] = 1.0 / size
        self._store("weight", weight)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [..., N/2 + 1], of [..., N]."""
        lead, rows = list(map(int, frames.shape[:-1])), self.rows
        grid = torch.matmul(self.get_buffer("first"), frames.reshape(*lead, rows, self.columns))
        plain, quarter = grid.split(2 * rows, dim=-2)
        turned = plain * self.get_buffer("turn_cosine") - quarter * self.get_buffer("turn_sine")
        parts = torch.matmul(turned.reshape(*lead, 2, rows, self.columns), self.get_buffer("second")).sum(dim=-3)
        flat = parts.transpose(-1, -2).reshape(*lead, 2, self.kept * rows)
        real, imaginary = flat[..., : self.num_bins].unbind(-2)
        return real, imaginary

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return [..., N] from real and imaginary part, each [..., N/2 + 1]."""
        lead, rows = list(map(int, real.shape[:-1])), self.rows
        weighted = torch.stack([real, imaginary], dim=-2) * self.get_buffer("weight")
        padded = functional.pad(weighted, (0, rows * self.kept - self.num_bins))
        parts = padded.reshape(*lead, 2 * self.kept, rows).transpose(-1, -2).unsqueeze(-3)
        turned = torch.matmul(parts, self.get_buffer("second").transpose(1, 2)).reshape(*lead, 2 * rows, self.columns)
        spread = torch.cat([turned * self.get_buffer("turn_cosine"), -turned * self.get_buffer("turn_sine")], dim=-2)
        return torch.matmul(self.get_buffer("first").T, spread).reshape(*lead, self.size)

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float(), persistent=False)


def _waves(first: Tensor, second: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the products of two ranges, [len(first), len(second)] in double precision."""
    turns = torch.remainder(first[:, None] * second[None], period).double() / period
    return torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
