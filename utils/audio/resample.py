"""Rational resampling as one matrix multiplication per 10 ms, usable inside an exported graph."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.fourier import Framing
from utils.audio.frames import FRAME_RATE

# shares of the lower Nyquist frequency: flat within 0.1 dB up to the first, at least 80 dB down from the second on
PASS_BAND, STOP_BAND = 0.88, 1.0
ROLL_OFF = 0.94  # half the amplitude
ZERO_CROSSINGS = 41
KAISER_BETA = 8.2


class RationalResampler(nn.Module):
    """Band-limited conversion between two integer sample rates by a polyphase Kaiser-windowed sinc.

    With up / down the reduced ratio target / source, each block of `down` input samples gives `up` output samples
    through `up` filters (phases): Smith, "Digital Audio Resampling". The phases of 10 ms stand side by side in one
    matrix. The delay is zero: output sample n lies at the time n / target_rate. Equal rates return the input itself.

    Args:
        source_rate: samples per second of the input, a multiple of 100.
        target_rate: samples per second of the output, a multiple of 100.
        zero_crossings: of the sinc to each side; fewer hear less of what comes and fall more slowly beyond the band.
    """

    def __init__(self, source_rate: int, target_rate: int, *, zero_crossings: int = ZERO_CROSSINGS) -> None:
        super().__init__()
        divisor = math.gcd(source_rate, target_rate)
        self.down, self.up = source_rate // divisor, target_rate // divisor
        self.source_rate, self.target_rate = source_rate, target_rate
        kernels, self.reach = _polyphase_kernels(self.down, self.up, zero_crossings)
        self.register_buffer("kernels", kernels, persistent=False)
        self.kernels: Tensor
        hop_length = source_rate // FRAME_RATE
        self.framing = Framing(hop_length + 2 * self.reach, hop_length)
        filters = _side_by_side(kernels.squeeze(1), hop_length // self.down, self.down)
        missing = self.framing.rows * hop_length - len(filters)
        self.register_buffer("filters", functional.pad(filters, (0, 0, 0, missing)), persistent=False)
        self.filters: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, T * up / down] from [B, T]; T must be a multiple of 10 ms."""
        if self.up == self.down:
            return audio
        padded = functional.pad(audio, (self.framing.before, self.framing.after))
        return torch.matmul(self.framing.rows_of(padded), self.filters).flatten(1)


def _side_by_side(kernels: Tensor, blocks: int, down: int) -> Tensor:
    """Return [(blocks - 1) * down + taps, blocks * up]: the kernels [up, taps], `down` samples later in each block."""
    up, taps = kernels.shape
    filters = torch.zeros((blocks - 1) * down + taps, blocks * up)
    for block in range(blocks):
        filters[block * down : block * down + taps, block * up : (block + 1) * up] = kernels.T
    return filters


def _polyphase_kernels(down: int, up: int, zero_crossings: int) -> tuple[Tensor, int]:
    cutoff = ROLL_OFF * min(1.0, up / down)  # of the source's Nyquist frequency
    reach = math.ceil(zero_crossings / cutoff)
    taps = torch.arange(-reach, reach + down, dtype=torch.float64)
    phase = torch.arange(up, dtype=torch.float64) * down / up
    offset = taps[None, :] - phase[:, None]
    position = (offset * cutoff / zero_crossings).clamp(-1, 1)
    beta = torch.tensor(KAISER_BETA, dtype=torch.float64)
    window = torch.special.i0(beta * torch.sqrt(1 - position.square())) / torch.special.i0(beta)
    kernels = cutoff * torch.sinc(offset * cutoff) * window * (position.abs() < 1)
    kernels = kernels / kernels.sum(1, keepdim=True)  # exact gain 1 at 0 Hz in each phase
    return kernels.float().unsqueeze(1), reach
