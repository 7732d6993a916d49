"""Discriminators: each returns one score map and its feature maps for every sub-network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from utils.audio.spectral import Stft

LEAK = 0.1
COMPRESSION = 0.3  # magnitudes are raised to this power, so that quiet partials are seen too


class DiscriminatorOutput(NamedTuple):
    """One entry per sub-network: scores [B, ...] and lists of feature maps [B, C, ...]."""

    scores: list[Tensor]
    features: list[list[Tensor]]


class SpectrogramDiscriminator(nn.Module):
    """Two-dimensional convolutions on the compressed complex spectrum at one resolution.

    Args:
        n_fft: window in samples.
        hop_length: samples between frames.
        channels: width of the layers.
    """

    def __init__(self, n_fft: int, hop_length: int, channels: int) -> None:
        super().__init__()
        self.stft = Stft(n_fft, hop_length)
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(2, channels, (7, 5), stride=(2, 1), padding=(3, 2))),
                weight_norm(nn.Conv2d(channels, channels, (5, 3), stride=(2, 1), padding=(2, 1))),
                weight_norm(nn.Conv2d(channels, channels, (5, 3), stride=(2, 1), padding=(2, 2), dilation=(1, 2))),
                weight_norm(nn.Conv2d(channels, channels, (5, 3), stride=(2, 1), padding=(2, 4), dilation=(1, 4))),
                weight_norm(nn.Conv2d(channels, channels, (3, 3), padding=(1, 1))),
            ]
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores [B, bins', F] and feature maps for audio [B, T]."""
        hop = self.stft.hop_length
        with torch.autocast(audio.device.type, enabled=False):
            whole = audio[:, : audio.shape[1] // hop * hop].float()
            real, imaginary = self.stft(whole)
            scale = (real.square() + imaginary.square() + 1e-5).pow((COMPRESSION - 1) / 2)
            x = torch.stack([real * scale, imaginary * scale], dim=1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), LEAK)
            features.append(x)
        return self.score(x).squeeze(1), features


class MultiResolutionDiscriminator(nn.Module):
    """Spectrogram discriminators at several resolutions (Jang et al. 2021, UnivNet; complex input as in EnCodec).

    Args:
        windows: n_fft of each sub-network; the hop is a quarter of it.
        channels: width of the layers.
    """

    def __init__(self, *, windows: Sequence[int] = (512, 1024, 2048), channels: int = 24) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrogramDiscriminator(window, window // 4, channels) for window in windows)

    def forward(self, audio: Tensor) -> DiscriminatorOutput:
        """Score audio [B, T]."""
        results = [part(audio) for part in self.parts]
        return DiscriminatorOutput([score for score, _ in results], [features for _, features in results])
