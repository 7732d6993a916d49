"""A pitch estimate drawn towards what its first harmonics do in a short window."""

import math

import torch
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
        self.register_buffer("numbers", torch.arange(1.0, NUM_HARMONICS + 1), persistent=False)
        self.numbers: Tensor

    def forward(self, f0_hz: Tensor, spectrum: Tensor) -> Tensor:
        """Return f0 in Hz [M].

        Args:
            f0_hz: [M] coarse estimate of each frame, all above 0.
            spectrum: [M, 4, K], K > 256 bins: real and imaginary part under the window, then under its derivative.
        """
        real, imaginary, slope_real, slope_imaginary = spectrum.unbind(1)
        power = real * real + imaginary * imaginary
        turning = slope_imaginary * real - slope_real * imaginary  # of the phase, times power
        expected = f0_hz.unsqueeze(1) * self.numbers
        position = (expected * (WINDOW / FEATURE_RATE)).clamp(max=WINDOW / 2 - 1)
        lower = torch.floor(position)
        bins = torch.cat([lower, lower + 1], dim=1)
        share = torch.cat([1 - (position - lower), position - lower], dim=1)
        places = bins.long()
        near = share * torch.gather(power, 1, places)
        moved = share * torch.gather(turning, 1, places) * (FEATURE_RATE / (2 * math.pi))
        # relative to the expected frequency: the difference of two large frequencies would lose its last digits
        off = near * (bins * (FEATURE_RATE / WINDOW) - torch.cat([expected, expected], dim=1)) - moved
        total = near[:, :NUM_HARMONICS] + near[:, NUM_HARMONICS:]
        deviation = (off[:, :NUM_HARMONICS] + off[:, NUM_HARMONICS:]) / (total + 1e-12) / expected
        confidence = (1 - (deviation * (1 / MAX_HARMONIC_DEVIATION)).square()).clamp(min=0)
        weights = torch.sqrt(total) * self.numbers * confidence
        correction = (weights * deviation).sum(1) / (weights.sum(1) + 1e-9)
        return f0_hz * (1 + TRUST * correction.clamp(-MAX_CORRECTION, MAX_CORRECTION))
