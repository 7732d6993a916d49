"""Periodic activation without aliasing (BigVGAN, Lee et al. 2023), for the snake vocoder of So-VITS-SVC.

Module names, and the filters among the tensors, are those of the published checkpoints.
"""

import math

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

TAPS, CUTOFF, HALF_WIDTH = 12, 0.25, 0.3


class Snake(nn.Module):
    """x + sin(e^alpha x)^2 / e^beta at twice the rate.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = _Shape(channels)
        self.upsample = _Filter()
        self.downsample = _Lowpass()

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T]."""
        rows = x.reshape(-1, 1, x.shape[2])
        padded = functional.pad(rows, (5, 5), mode="replicate")
        doubled = 2.0 * functional.conv_transpose1d(padded, self.upsample.filter.to(x.dtype), stride=2)[:, :, 15:-15]
        curved = self.act(doubled.reshape(x.shape[0], x.shape[1], -1)).reshape(doubled.shape)
        padded = functional.pad(curved, (5, 6), mode="replicate")
        return functional.conv1d(padded, self.downsample.lowpass.filter.to(x.dtype), stride=2).reshape(x.shape)


class _Shape(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        frequency, magnitude = self.alpha.exp().unsqueeze(1), self.beta.exp().unsqueeze(1)
        return x + torch.sin(x * frequency).square() / (magnitude + 1e-9)


class _Filter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _kaiser_sinc())
        self.filter: Tensor


class _Lowpass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _Filter()


def _kaiser_sinc() -> Tensor:
    """Return [1, 1, TAPS], a low-pass whose sum is 1."""
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * HALF_WIDTH + 7.95
    beta = 0.1102 * (attenuation - 8.7)  # of more than 50 dB (Kaiser)
    time = np.arange(-TAPS // 2, TAPS // 2) + 0.5
    taps = 2 * CUTOFF * np.kaiser(TAPS, beta) * np.sinc(2 * CUTOFF * time)
    return torch.from_numpy(taps / taps.sum()).float().reshape(1, 1, -1)
