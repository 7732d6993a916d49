"""A pitch estimate, corrected by what its first harmonics do in a short window."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.frames import FEATURE_RATE

WINDOW = 512
NUM_HARMONICS = 6
MAX_HARMONIC_DEVIATION = 0.12  # two semitones; a harmonic further off is another sound
MAX_CORRECTION = 0.09  # a semitone and a half
TRUST = 0.7  # of the way from the coarse estimate to the refined one; alone, the short window suffers from noise


def refinement_windows() -> Tensor:
    """Return [2, 512] float64: the window and its derivative, under which refinement reads the sound."""
    index = torch.arange(WINDOW, dtype=torch.float64)
    slope = math.pi / WINDOW * torch.sin(2 * math.pi * index / WINDOW)
    return torch.stack([torch.hann_window(WINDOW, dtype=torch.float64), slope])


class HarmonicRefinement(nn.Module):
    """Correct f0 by the instantaneous frequency of its first six harmonics in windows of 32 ms.

    The instantaneous frequency of a bin follows from the spectra under a window and under its derivative (Flanagan and
    Golden 1966), their weighted mean over harmonics from StoneMask (Morise, WORLD). Every weight is continuous in f0
    and in the spectrum, so that rounding in another runtime stays rounding.
    """

    def __init__(self) -> None:
        super().__init__()
        # four values for each harmonic: power in the bin below and above, then how the phase turns there
        numbers = torch.arange(1.0, NUM_HARMONICS + 1)
        is_upper = torch.tensor([0.0, 1.0, 0.0, 1.0]).repeat_interleave(NUM_HARMONICS)
        is_power = torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat_interleave(NUM_HARMONICS)
        self._store("numbers", numbers.repeat(4))
        self._store("is_upper", is_upper)
        self._store("is_lower", 1 - is_upper)
        self._store("is_power", is_power > 0)
        # sums over the four; the squares give each harmonic a weight of its number under a root
        each = torch.eye(NUM_HARMONICS).repeat(4, 1) * numbers.square()
        self._store("power_sum", each * is_power[:, None])
        self._store("deviation_sum", each / (numbers * MAX_HARMONIC_DEVIATION))

    def forward(self, f0_hz: Tensor, spectrum: Tensor) -> Tensor:
        """Return f0 in Hz [M].

        Args:
            f0_hz: [M] coarse estimate of each frame, all above 0.
            spectrum: [M, 4, K], K > 256 bins: real and imaginary part under the window, then under its derivative.
        """
        real, imaginary, slope_real, slope_imaginary = spectrum.unbind(1)
        power = real * real + imaginary * imaginary
        turning = slope_imaginary * real - slope_real * imaginary  # of the phase, times power
        return self.refine(f0_hz.unsqueeze(1), torch.cat([power, turning], dim=1)).squeeze(1)

    def refine(self, f0_hz: Tensor, fields: Tensor) -> Tensor:
        """Return f0 in Hz [M, 1] from a coarse one [M, 1] and fields [M, 2 K]: the power of K bins, then their turning
        (imaginary part under the derivative times real part, less the other product)."""
        expected = f0_hz * self.get_buffer("numbers")
        position = (expected * (WINDOW / FEATURE_RATE)).clamp(max=WINDOW / 2 - 1)
        lower = torch.floor(position)
        bins = lower + self.get_buffer("is_upper")
        offsets = torch.where(self.get_buffer("is_power"), 0, int(fields.shape[1]) // 2)
        share = (position - (lower + self.get_buffer("is_lower"))).abs()
        read = torch.gather(fields, 1, bins.long() + offsets) * share
        # relative to the expected frequency: the difference of two large frequencies would lose its last digits
        off = bins * (FEATURE_RATE / WINDOW) - expected
        off = torch.where(self.get_buffer("is_power"), off, off.new_full((), -FEATURE_RATE / (2 * math.pi)))
        total = torch.matmul(read, self.get_buffer("power_sum"))
        # as a share of the largest
        deviation = torch.matmul(read * off, self.get_buffer("deviation_sum")) / (total + 1e-12) / f0_hz
        weights = torch.sqrt(total) * functional.relu(1 - deviation.square())
        correction = (weights * deviation).sum(1, keepdim=True) / (weights.sum(1, keepdim=True) + 1e-9)
        limit = MAX_CORRECTION / MAX_HARMONIC_DEVIATION
        return f0_hz * (1 + TRUST * MAX_HARMONIC_DEVIATION * correction.clamp(-limit, limit))

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)
