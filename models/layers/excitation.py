"""Source signals of a source-filter voice: a band-limited pulse train and noise."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.frames import FramesToSamples

FALLBACK_F0_HZ = 100.0
NOISE_FRAMES = 400  # 4 s; longer signals repeat the table


class PulseTrain(nn.Module):
    """Sum of all harmonics of f0 below the Nyquist frequency, with unit power while voiced and silence elsewhere.

    The closed form of the Dirichlet kernel replaces the sum: sum_k cos(k p) = sin((K + 1/2) p) / (2 sin(p / 2)) - 1/2.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.interpolate = FramesToSamples(hop_length)

    def forward(self, f0_hz: Tensor) -> Tensor:
        """Return [B, F * hop] from f0_hz [B, F] with 0 in unvoiced frames; depends on f0 alone."""
        voiced = (f0_hz > 0).to(f0_hz.dtype)
        frequency = self.interpolate.by_frame(_fill_neighbours(f0_hz))
        cycles = frequency / self.sample_rate
        # float64: after minutes a float32 sum of cycles has lost the phase, and two runtimes would lose it differently
        within = torch.cumsum(cycles.double(), dim=-1)
        total = torch.cumsum(within[..., -1], dim=-1)
        start = functional.pad((total - torch.floor(total))[:, :-1], (1, 0)).unsqueeze(-1)
        turns = within + start
        phase = 2 * math.pi * (turns - torch.floor(turns)).to(cycles.dtype)
        harmonics = torch.floor(0.49 * self.sample_rate / frequency)
        half = torch.sin(0.5 * phase)
        safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
        kernel = torch.sin((harmonics + 0.5) * phase) / (2 * safe) - 0.5
        kernel = torch.where(half.abs() < 1e-4, harmonics, kernel)
        pulses = kernel * torch.sqrt(4.0 * cycles) * self.interpolate.by_frame(voiced)
        return pulses.reshape(f0_hz.shape[0], -1)


class FixedNoise(nn.Module):
    """White Gaussian noise of unit power from a fixed table, so that the same input gives the same output.

    Args:
        hop_length: samples per frame.
        seed: seed of the table.
    """

    def __init__(self, hop_length: int, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("table", torch.randn(NOISE_FRAMES, hop_length, generator=generator), persistent=False)
        self.table: Tensor

    def forward(self, like: Tensor) -> Tensor:
        """Return [B, F * hop] for a tensor [B, F]; every item of the batch gets the same noise."""
        index = torch.cumsum(torch.ones_like(like[:1], dtype=torch.int64), dim=1) - 1
        frames = self.table[torch.remainder(index, NOISE_FRAMES)]
        return frames.reshape(1, -1).expand(like.shape[0], -1)


def _fill_neighbours(f0_hz: Tensor) -> Tensor:
    """Give unvoiced frames beside voiced ones their neighbour's pitch, so that no sweep to zero is heard."""
    previous = torch.cat([f0_hz[:, :1], f0_hz[:, :-1]], dim=1)
    following = torch.cat([f0_hz[:, 1:], f0_hz[:, -1:]], dim=1)
    beside = torch.where(previous > 0, previous, following)
    filled = torch.where(f0_hz > 0, f0_hz, beside)
    return torch.where(filled > 0, filled, torch.full_like(filled, FALLBACK_F0_HZ))
