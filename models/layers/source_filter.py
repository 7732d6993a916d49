"""Source-filter synthesis in the short-time Fourier domain: pulses and noise, each under a filter of its own."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers.excitation import FixedNoise, PulseTrain
from utils.audio.frames import FRAME_RATE
from utils.audio.spectral import Stft

MAX_LOG_GAIN = 7.0


class Filters(NamedTuple):
    """What a network predicts for each frame and frequency bin, each [B, F, n_fft / 2 + 1].

    Attributes:
        log_gain: natural logarithm of the gain of the pulses.
        phase: added to that of the pulses, in radians.
        noise_log_gain: natural logarithm of the gain of the noise.
    """

    log_gain: Tensor
    phase: Tensor
    noise_log_gain: Tensor

    def apply(self, pulses: tuple[Tensor, Tensor], noise: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the sum of two filtered spectra in fp32; each is a real and an imaginary part, [B, F, bins]."""
        log_gain, phase, noise_log_gain = (value.float() for value in self)
        gain = torch.exp(log_gain.clamp(max=MAX_LOG_GAIN))
        filter_real, filter_imaginary = gain * torch.cos(phase), gain * torch.sin(phase)
        noise_gain = torch.exp(noise_log_gain.clamp(max=MAX_LOG_GAIN))
        real = pulses[0] * filter_real - pulses[1] * filter_imaginary + noise[0] * noise_gain
        return real, pulses[0] * filter_imaginary + pulses[1] * filter_real + noise[1] * noise_gain


class SourceFilterSynthesis(nn.Module):
    """From filters and pitch to audio; nothing in it is learned.

    Args:
        sample_rate: samples per second of the audio.
        n_fft: window of the transform in samples.
        closed: of the pulses, see PulseTrain.
    """

    def __init__(self, sample_rate: int, n_fft: int, *, closed: bool = False) -> None:
        super().__init__()
        hop_length = sample_rate // FRAME_RATE
        self.stft = Stft(n_fft, hop_length)
        self.pulses = PulseTrain(sample_rate, hop_length, closed=closed)
        self.noise = FixedNoise(hop_length)

    def forward(self, filters: Filters, f0_hz: Tensor) -> Tensor:
        """Return [B, F * hop] of filters and f0_hz [B, F], 0 in unvoiced frames."""
        # fp32: exponentials, phases and transforms lose too much in half precision
        with torch.autocast(f0_hz.device.type, enabled=False):
            f0_hz = f0_hz.float()
            real, imaginary = self.stft.by_frame(torch.cat([self.pulses(f0_hz), self.noise.row(f0_hz)]))
            pulses, noise = (real[:-1], imaginary[:-1]), (real[-1:], imaginary[-1:])
            return self.stft.inverse_by_frame(*filters.apply(pulses, noise))
