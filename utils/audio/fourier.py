"""Spectra of overlapping frames by matrix multiplications alone, so that an exported graph computes them quickly."""

import math

import torch
from torch import Tensor, nn

from utils.audio.reshaping import reshape

MANY_ROWS = 6  # from here on one look-up is less work than putting rows side by side


class Framing(nn.Module):
    """Cut audio into overlapping frames, frame i centred on the samples [i * hop, (i + 1) * hop).

    The audio must come with `before` samples ahead of the first hop and `after` behind the last.

    Args:
        length: samples of a frame, N; length - hop_length must be even and not negative.
        hop_length: samples between frames.
    """

    def __init__(self, length: int, hop_length: int) -> None:
        super().__init__()
        self.length, self.hop_length = length, hop_length
        self.rows = -(-length // hop_length)  # rows of hop_length samples that a frame touches
        self.before = (length - hop_length) // 2
        self.after = (self.rows - 1) * hop_length - self.before

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, F, N] from audio [B, before + F * hop_length + after]."""
        return self.rows_of(audio)[:, :, : self.length]

    def rows_of(self, audio: Tensor) -> Tensor:
        """Return the frames of forward with what follows them in their last row, [B, F, rows * hop_length]."""
        rows = reshape(audio, 0, -1, self.hop_length)
        missing = self.rows - 1
        if missing < MANY_ROWS:
            return torch.cat([rows[:, first : (first - missing) or None] for first in range(self.rows)], dim=2)
        first = torch.arange(rows.shape[1] - missing, device=audio.device)
        taken = rows[:, first[:, None] + torch.arange(self.rows, device=audio.device)]  # [B, F, rows, hop_length]
        return reshape(taken, 0, 0, -1)


class FrameTransform(nn.Module):
    """Fourier transform of frames under one or several windows, and back, in two steps (Cooley and Tukey 1965).

    With n = Q p + q and k = r + P s, the first step sums over p and holds window and twiddle factors, the second sums
    over q. That is about a tenth of the work of one multiplication by the whole transform, and of its constants. The
    axes are in the order in which no step has to move single numbers.

    Args:
        windows: [W, N].
        rows: P, a divisor of N; N / P must be even.
    """

    def __init__(self, windows: Tensor, rows: int) -> None:
        super().__init__()
        self.num_windows, length = windows.shape
        self.rows, self.columns = rows, length // rows
        self.num_steps = self.columns // 2 + 1  # s from 0 to Q / 2 covers the bins from 0 to N / 2
        self.num_bins = length // 2 + 1
        if length % rows or self.columns % 2:
            raise ValueError(f"{rows} rows do not cut a window of {length} samples into an even number of columns")
        self.register_buffer("first", _first_step(windows.double(), rows), persistent=False)
        self.register_buffer("second", _second_step(self.columns, self.num_steps), persistent=False)
        self.first: Tensor
        self.second: Tensor

    def forward(self, frames: Tensor) -> Tensor:
        """Return [2, S, M, W, P] from frames [..., N]: real and imaginary parts of bin r + P s."""
        cut = frames.reshape(-1, self.rows, self.columns).permute(2, 0, 1)
        summed = torch.matmul(cut, self.first).reshape(2 * self.columns, -1)
        return torch.matmul(self.second, summed).reshape(2, self.num_steps, -1, self.num_windows, self.rows)


class InverseTransform(nn.Module):
    """From a spectrum to windowed frames, in the steps of FrameTransform backwards.

    Args:
        window: [N].
        rows: P of the FrameTransform.
    """

    def __init__(self, window: Tensor, rows: int) -> None:
        super().__init__()
        length = len(window)
        self.rows, self.columns = rows, length // rows
        self.num_steps = self.columns // 2 + 1
        self.length = length
        # the transposed of a rotation turns back
        self.register_buffer("first", _second_step(self.columns, self.num_steps).T.contiguous(), persistent=False)
        self.register_buffer("second", _last_step(window.double(), rows), persistent=False)
        self.first: Tensor
        self.second: Tensor

    def forward(self, spectrum: Tensor) -> Tensor:
        """Return frames [M, N] from a spectrum [2, S, M, P]; places above N / 2 do not count."""
        summed = torch.matmul(self.first, spectrum.reshape(2 * self.num_steps, -1))
        summed = summed.reshape(2, self.columns, -1, self.rows)
        parts = torch.matmul(summed, self.second)
        return parts.sum(dim=0).permute(1, 2, 0).reshape(-1, self.length)


def even_factor(length: int) -> int:
    """Return the divisor of an even length nearest below its root whose quotient is even: few multiplications."""
    return max(rows for rows in range(1, math.isqrt(length) + 1) if length % (2 * rows) == 0)


def _first_step(windows: Tensor, rows: int) -> Tensor:
    """Return [2, Q, P, W * P]."""
    num_windows, length = windows.shape
    columns = length // rows
    wave = _twiddled(length, rows).unsqueeze(3)  # [2, Q, P, 1, P]
    window = windows.reshape(num_windows, rows, columns).permute(2, 1, 0).unsqueeze(-1)  # [Q, P, W, 1]
    return (window * wave).reshape(2, columns, rows, -1).float()


def _last_step(window: Tensor, rows: int) -> Tensor:
    """Return [2, Q, P, P]: sums over r, real part times cosine and imaginary part times minus sine."""
    columns = len(window) // rows
    wave = _twiddled(len(window), rows).transpose(2, 3)  # [2, Q, r, p]
    return (wave * window.reshape(rows, columns).T.unsqueeze(1) / len(window)).float()


def _twiddled(length: int, rows: int) -> Tensor:
    """Return cosine and minus sine of 2 pi r (Q p + q) / N as [2, Q, p, r]."""
    columns = length // rows
    p, r, q = torch.arange(rows), torch.arange(rows), torch.arange(columns)
    turns = ((columns * p + q[:, None]).unsqueeze(-1) * r) % length
    angles = 2 * math.pi * turns.double() / length
    return torch.stack([torch.cos(angles), -torch.sin(angles)])


def _second_step(columns: int, num_steps: int) -> Tensor:
    """Return [2 * S, 2 * Q]: complex times complex, real and imaginary parts one after the other."""
    turns = (torch.arange(num_steps)[:, None] * torch.arange(columns)) % columns
    angles = 2 * math.pi * turns.double() / columns
    cosine, sine = torch.cos(angles), -torch.sin(angles)
    return torch.cat([torch.cat([cosine, -sine], dim=1), torch.cat([sine, cosine], dim=1)]).float()
