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
        self.num_steps = self.columns // 2 + 1
        rows, columns = torch.arange(self.rows), torch.arange(self.columns)
        cosine, sine = _waves(rows, rows, self.rows)
        self._store("first", torch.stack([cosine, sine], dim=1).flatten(0, 1))  # [2P, P]: both of one r together
        cosine, sine = _waves(rows, columns, size)
        # what becomes of the two sums: two terms of the real part, two of minus the imaginary part
        turn = torch.stack([torch.cat([cosine, -sine], 1), torch.cat([sine, cosine], 1)], dim=1)
        self._store("turn", turn)  # [P, 2, 2Q]
        cosine, sine = _waves(columns, columns[: self.num_steps], self.columns)
        real, imaginary = torch.cat([cosine, -sine], 1), torch.cat([-sine, -cosine], 1)
        self._store("second", torch.cat([real, real, imaginary, imaginary]))  # [4Q, 2H]
        bins = rows[:, None] + self.rows * columns[: self.num_steps]
        weight = torch.where(bins < self.num_bins, 2.0 / size, 0.0).double()
        weight[0, 0] = 1.0 / size
        weight[bins == size // 2] = 1.0 / size
        self._store("weight", weight)  # [P, H]

    def by_row(self, grid: Tensor) -> Tensor:
        """Return [..., P, 2 H], real and then imaginary parts of the bins r + P s, of frames cut into [..., P, Q].

        Bins above N/2 are there too, as far as H steps reach.
        """
        lead, rows = list(map(int, grid.shape[:-2])), self.rows
        summed = torch.matmul(self.get_buffer("first"), grid).reshape(*lead, rows, 1, 2 * self.columns)
        turned = (summed * self.get_buffer("turn")).reshape(*lead, rows, 4 * self.columns)
        return torch.matmul(turned, self.get_buffer("second"))

    def rows_from_bins(self, table: Tensor) -> Tensor:
        """Return [P * H, ...], in the order of by_row, of a table with a row for each bin; 0 for those above N/2."""
        padded = functional.pad(table, (0, 0, 0, self.rows * self.num_steps - self.num_bins))
        rows: Tensor = padded.unflatten(0, (self.num_steps, self.rows)).transpose(0, 1).flatten(0, 1).contiguous()
        return rows

    def from_rows(self, spectrum: Tensor, first: int = 0) -> Tensor:
        """Return the samples from `first` on, [..., N - first], of what by_row returns; bins above N/2 do not count."""
        lead, rows, columns = list(map(int, spectrum.shape[:-2])), self.rows, self.columns
        skipped = first // columns  # rows of samples
        weighted = spectrum * self.get_buffer("weight").repeat(1, 2)
        spread = torch.matmul(weighted, self.get_buffer("second").T).reshape(*lead, rows, 2, 2 * columns)
        turned = (spread * self.get_buffer("turn")).reshape(*lead, 4 * rows, columns)
        wave = self.get_buffer("first").reshape(rows, 2, rows)[..., skipped:].repeat(1, 2, 1).flatten(0, 1)
        samples = torch.matmul(wave.T, turned).reshape(*lead, self.size - skipped * columns)
        return samples[..., first - skipped * columns :]

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [..., N/2 + 1], of [..., N]."""
        lead = list(map(int, frames.shape[:-1]))
        parts = self.by_row(frames.reshape(*lead, self.rows, self.columns))
        flat = parts.transpose(-1, -2).reshape(*lead, 2, self.num_steps * self.rows)
        real, imaginary = flat[..., : self.num_bins].unbind(-2)
        return real, imaginary

    def inverse(self, real: Tensor, imaginary: Tensor, first: int = 0) -> Tensor:
        """Return the samples from `first` on, [..., N - first], of real and imaginary part, each [..., N/2 + 1]."""
        lead = list(map(int, real.shape[:-1]))
        padded = functional.pad(torch.stack([real, imaginary], dim=-2), (0, self.rows * self.num_steps - self.num_bins))
        return self.from_rows(padded.reshape(*lead, 2 * self.num_steps, self.rows).transpose(-1, -2), first)

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float(), persistent=False)


def _waves(first: Tensor, second: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the products of two ranges, [len(first), len(second)] in double precision."""
    turns = torch.remainder(first[:, None] * second[None], period).double() / period
    return torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
