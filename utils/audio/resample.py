"""Rational resampling as one matrix multiplication, usable inside an exported graph."""

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
LANES = 16  # outputs that a processor multiplies for at a time
MAX_ROWS = 4  # pieces side by side in a row of the matrix product


class RationalResampler(nn.Module):
    """Band-limited conversion between two integer sample rates by a polyphase Kaiser-windowed sinc.

    With up / down the reduced ratio target / source, each block of `down` input samples gives `up` output samples
    through `up` filters (phases): Smith, "Digital Audio Resampling". The phases of some blocks stand side by side in
    one matrix. The delay is zero: output sample n lies at the time n / target_rate. Equal rates return the input.

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
        blocks = source_rate // FRAME_RATE // self.down
        piece = self.down * _blocks_in_a_piece(blocks, self.down, self.up, self.reach)
        self.framing = Framing(piece + 2 * self.reach, piece)
        filters = _side_by_side(kernels.squeeze(1), piece // self.down, self.down)
        missing = self.framing.rows * piece - len(filters)
        self.register_buffer("filters", functional.pad(filters, (0, 0, 0, missing)), persistent=False)
        self.filters: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, T * up / down] from [B, T]; T must be a multiple of 10 ms."""
        if self.up == self.down:
            return audio
        padded = functional.pad(audio, (self.framing.before, self.framing.after))
        return torch.matmul(self.framing.rows_of(padded), self.filters).flatten(1)


def _blocks_in_a_piece(blocks: int, down: int, up: int, reach: int) -> int:
    """Return how many blocks of `down` samples a row of the matrix product makes, for the fewest multiplications.

    Args:
        blocks: in 10 ms; the result divides them.
        down: input samples of a block.
        up: output samples of a block.
        reach: samples that a filter sees before and behind a block.
    """

    def rows(count: int) -> int:
        return -(-(count * down + 2 * reach) // (count * down))

    def work(count: int) -> int:
        return blocks // count * rows(count) * count * down * -(-count * up // LANES)

    divisors = (count for count in range(1, blocks + 1) if blocks % count == 0)
    return min((count for count in divisors if rows(count) <= MAX_ROWS), key=work, default=max(blocks, 1))


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
