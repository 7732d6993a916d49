"""Spectra of overlapping frames by matrix multiplications alone, so that an exported graph computes them quickly."""

import math

import torch
from torch import Tensor, nn


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
        rows = audio.reshape(audio.shape[0], -1, self.hop_length)
        first = torch.arange(rows.shape[1] - (self.rows - 1), device=audio.device)
        taken = rows[:, first[:, None] + torch.arange(self.rows, device=audio.device)]  # [B, F, rows, hop_length]
        return taken.flatten(2)[:, :, : self.length]


class FrameTransform(nn.Module):
    """Fourier transform of frames under one or several windows, in two steps (Cooley and Tukey 1965).

    With n = Q p + q and k = r + P s, the first step sums over p and holds window and twiddle factors, the second sums
    over q. That is about a tenth of the work of one multiplication by the whole transform, and of its constants.

    Args:
        windows: [W, N] float64.
        rows: P, a divisor of N; N / P must be even.
    """

    def __init__(self, windows: Tensor, rows: int) -> None:
        super().__init__()
        self.num_windows, length = windows.shape
        self.rows, self.columns = rows, length // rows
        self.num_steps = self.columns // 2 + 1  # s from 0 to Q / 2 covers the bins from 0 to N / 2
        if length % rows or self.columns % 2:
            raise ValueError(f"{rows} rows do not cut a window of {length} samples into an even number of columns")
        self.register_buffer("first", _first_step(windows.double(), rows), persistent=False)
        self.register_buffer("second", _second_step(self.columns, self.num_steps), persistent=False)
        self.first: Tensor
        self.second: Tensor

    def forward(self, frames: Tensor) -> Tensor:
        """Return [M, W, P, 2, S] from frames [..., N]: bin r + P s, real and imaginary part; see `places`."""
        cut = frames.reshape(-1, self.rows, self.columns).permute(2, 0, 1)
        summed = torch.matmul(cut, self.first).reshape(self.columns, -1, self.num_windows, 2, self.rows)
        summed = summed.permute(1, 2, 4, 3, 0).reshape(-1, self.num_windows, self.rows, 2 * self.columns)
        spectrum = torch.matmul(summed, self.second)
        return spectrum.reshape(-1, self.num_windows, self.rows, 2, self.num_steps)

    @property
    def places(self) -> Tensor:
        """The bin at each place of a flattened [P, S]; those above N / 2 are mirror images."""
        return (torch.arange(self.rows)[:, None] + self.rows * torch.arange(self.num_steps)[None]).flatten()

    @property
    def num_bins(self) -> int:
        """Bins from 0 to N / 2."""
        return self.rows * self.columns // 2 + 1


def _first_step(windows: Tensor, rows: int) -> Tensor:
    """Return [Q, P, W * 2 * P]."""
    num_windows, length = windows.shape
    columns = length // rows
    p, r, q = torch.arange(rows), torch.arange(rows), torch.arange(columns)
    turns = (p[None, :, None] * r * columns + q[:, None, None] * r) % length  # [Q, P, P]
    angles = 2 * math.pi * turns.double() / length
    wave = torch.stack([torch.cos(angles), -torch.sin(angles)], dim=2)  # [Q, P, 2, P]
    window = windows.reshape(num_windows, rows, columns).permute(2, 1, 0)  # [Q, P, W]
    return (window[..., None, None] * wave[:, :, None]).reshape(columns, rows, -1).float()


def _second_step(columns: int, num_steps: int) -> Tensor:
    """Return [2 * Q, 2 * S]: complex times complex, real and imaginary parts one after the other."""
    turns = (torch.arange(columns)[:, None] * torch.arange(num_steps)[None]) % columns
    angles = 2 * math.pi * turns.double() / columns
    cosine, sine = torch.cos(angles), -torch.sin(angles)
    return torch.cat([torch.cat([cosine, sine], dim=1), torch.cat([-sine, cosine], dim=1)]).float()
