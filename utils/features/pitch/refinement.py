"""A pitch estimate drawn towards what its first harmonics do in a short window."""

import math

import torch
from torch import Tensor, nn

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.audio.spectral import Stft

WINDOW = 512
NUM_HARMONICS = 6
MAX_HARMONIC_DEVIATION = 0.12  # two semitones; a harmonic further off is another sound
MAX_CORRECTION = 0.09  # a semitone and a half
TRUST = 0.7  # of the way from the coarse estimate to the refined one; alone, the short window suffers from noise


class HarmonicRefinement(nn.Module):
    """Correct f0 by the instantaneous frequency of its first six harmonics in windows of 32 ms.

    The instantaneous frequency of a bin follows from the spectra under a window and under its derivative (Flanagan and
    Golden 1966), their weighted mean over harmonics from StoneMask (Morise, WORLD). Every weight is continuous in f0
    and in the spectrum, so that rounding in another runtime stays rounding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.derivative = Stft(WINDOW, FEATURE_HOP)
        index = torch.arange(WINDOW, dtype=torch.float64)
        self.derivative.window.copy_(math.pi / WINDOW * torch.sin(2 * math.pi * index / WINDOW))
        numbers = torch.arange(1.0, NUM_HARMONICS + 1).view(1, -1, 1)
        self.register_buffer("numbers", numbers, persistent=False)
        self.numbers: Tensor

    def forward(self, f0_hz: Tensor, real: Tensor, imaginary: Tensor, audio: Tensor) -> Tensor:
        """Return f0 in Hz [B, F].

        Args:
            f0_hz: [B, F] coarse estimate, all above 0.
            real: [B, 257, F], of the Stft with a window of 512 samples.
            imaginary: like real.
            audio: [B, F * 160] that they came from.
        """
        return self.correct(f0_hz, real, imaginary, *self.derivative(audio))

    def correct(
        self, f0_hz: Tensor, real: Tensor, imaginary: Tensor, slope_real: Tensor, slope_imaginary: Tensor
    ) -> Tensor:
        """Return f0 in Hz [B, F], as forward does, from spectra [B, 257, F] under the window and its derivative."""
        power = real.square() + imaginary.square()
        turning = slope_imaginary * real - slope_real * imaginary  # of the phase, times power
        expected = self.numbers * f0_hz.unsqueeze(1)
        position = (expected * (WINDOW / FEATURE_RATE)).clamp(max=WINDOW / 2 - 1)
        lower = torch.floor(position)
        upper_share = position - lower
        sums = torch.zeros_like(expected), torch.zeros_like(expected)
        for bins, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
            places = bins.long()
            near = share * torch.gather(power, 1, places)
            moved = share * torch.gather(turning, 1, places) * (FEATURE_RATE / (2 * math.pi))
            sums = sums[0] + near, sums[1] + near * bins * (FEATURE_RATE / WINDOW) - moved
        deviation = sums[1] / (sums[0] + 1e-12) / expected - 1
        confidence = (1 - (deviation / MAX_HARMONIC_DEVIATION).square()).clamp(min=0)
        weights = torch.sqrt(sums[0]) * self.numbers * confidence
        correction = (weights * deviation).sum(1) / (weights.sum(1) + 1e-9)
        return f0_hz * (1 + TRUST * correction.clamp(-MAX_CORRECTION, MAX_CORRECTION))
