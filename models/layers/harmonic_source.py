"""A source of several harmonics, as decoders of Applio and So-VITS-SVC have it (NSF, Wang et al. 2019)."""

import math

import torch
from torch import Tensor, nn

from models.layers.rvc_decoder import SINE_LEVEL, UNVOICED_NOISE, VOICED_NOISE, SineSource


class HarmonicSource(SineSource):
    """Sines at f0 and its multiples, each with a noise of its own, mixed by one layer.

    The published code draws a noise for each harmonic. Here one noise stands for their mixture: it has the deviation
    that the mixture would have. Its first values also say where the overtones begin, which is random as published; a
    noise of zeros begins all of them at 0.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame, more than num_overtones.
        num_overtones: harmonics beside the fundamental.
    """

    def __init__(self, sample_rate: int, hop_length: int, *, num_overtones: int) -> None:
        super().__init__(sample_rate, hop_length)
        self.l_linear = nn.Linear(1 + num_overtones, 1)

    def forward(self, f0_hz: Tensor, noise: Tensor) -> Tensor:
        """Return [B, F * hop] from f0_hz [B, F], constant within a frame, and noise [B, F * hop] of unit variance."""
        with torch.autocast(f0_hz.device.type, enabled=False):
            turns, noise = self.turns(f0_hz), noise.float()
            weights = self.l_linear.weight[0]
            starts = uniform_of_normal(noise[:, : len(weights) - 1]).unsqueeze(2)
            sines = weights[0] * torch.sin(2 * math.pi * turns)
            for number in range(1, len(weights)):
                turned = (number + 1) * turns + starts[:, number - 1 : number]
                sines = sines + weights[number] * torch.sin(2 * math.pi * turned)
            voiced = (f0_hz > 0).float().unsqueeze(-1)
            noise_level = (voiced * VOICED_NOISE + (1 - voiced) * UNVOICED_NOISE) * weights.norm()
            source = SINE_LEVEL * sines * voiced + noise_level * noise.reshape(turns.shape)
            return torch.tanh(source + self.l_linear.bias).reshape(noise.shape)


def uniform_of_normal(noise: Tensor) -> Tensor:
    """Turn standard normal numbers into uniform ones from -0.5 to 0.5; 0 stays 0."""
    return 0.5 * torch.erf(noise / math.sqrt(2.0))
