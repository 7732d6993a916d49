"""Rational resampling as one strided convolution, usable inside an exported graph."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

ZERO_CROSSINGS = 32
ROLL_OFF = 0.945  # pass band edge as a share of the lower Nyquist frequency
KAISER_BETA = 12.0


class RationalResampler(nn.Module):
    """Band-limited conversion between two integer sample rates by a polyphase Kaiser-windowed sinc.

    With up / down the reduced ratio target / source, each block of `down` input samples gives `up` output samples
    through `up` filters (phases): Smith, "Digital Audio Resampling". The delay is zero: output sample n lies at the
    time n / target_rate. Equal rates return the input itself.

    Args:
        source_rate: samples per second of the input.
        target_rate: samples per second of the output.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        super().__init__()
        divisor = math.gcd(source_rate, target_rate)
        self.down, self.up = source_rate // divisor, target_rate // divisor
        self.source_rate, self.target_rate = source_rate, target_rate
        kernels, self.reach = _polyphase_kernels(self.down, self.up)
        self.register_buffer("kernels", kernels, persistent=False)
        self.kernels: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, T * up / down] from [B, T]; T must be a multiple of `down` (10 ms always is)."""
        if self.up == self.down:
            return audio
        padded = functional.pad(audio, (self.reach, self.reach + self.down)).unsqueeze(1)
        phases = functional.conv1d(padded, self.kernels, stride=self.down)
        count = audio.shape[-1] // self.down
        return phases[:, :, :count].transpose(1, 2).reshape(audio.shape[0], -1)


def _polyphase_kernels(down: int, up: int) -> tuple[Tensor, int]:
    cutoff = ROLL_OFF * min(1.0, up / down)  # of the source's Nyquist frequency
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    taps = torch.arange(-reach, reach + down, dtype=torch.float64)
    phase = torch.arange(up, dtype=torch.float64) * down / up
    offset = taps[None, :] - phase[:, None]
    position = (offset * cutoff / ZERO_CROSSINGS).clamp(-1, 1)
    beta = torch.tensor(KAISER_BETA, dtype=torch.float64)
    window = torch.special.i0(beta * torch.sqrt(1 - position.square())) / torch.special.i0(beta)
    kernels = cutoff * torch.sinc(offset * cutoff) * window * (position.abs() < 1)
    kernels = kernels / kernels.sum(1, keepdim=True)  # exact gain 1 at 0 Hz in each phase
    return kernels.float().unsqueeze(1), reach
