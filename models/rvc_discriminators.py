"""The discriminators of RVC: one on the waveform, one per period (HiFi-GAN, Kong et al. 2020), one per resolution.

Module names are those of the published checkpoints.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.discriminators import DiscriminatorOutput
from models.layers.weight_norm import WeightNormConv1d, WeightNormConv2d

LEAK = 0.1


class RvcDiscriminator(nn.Module):
    """The discriminator of the waveform followed by those of periods and spectrograms, as one network.

    Args:
        periods: samples from row to row of each folded waveform: 2,3,5,7,11,17 in v1, with 23 and 37 in v2; 2,3,5,7,11
            in v3 of Applio and in So-VITS-SVC.
        resolutions: transform, hop and window in samples of each spectrogram; there are some in v3 alone.
        channels: width of the widest layers, a multiple of 64; 1024 as published.
    """

    def __init__(
        self,
        *,
        periods: Sequence[int] = (2, 3, 5, 7, 11, 17, 23, 37),
        resolutions: Sequence[tuple[int, int, int]] = (),
        channels: int = 1024,
    ) -> None:
        super().__init__()
        by_period = [PeriodDiscriminator(period, channels) for period in periods]
        spectral = [SpectrumDiscriminator(*resolution, channels // 32) for resolution in resolutions]
        self.discriminators = nn.ModuleList([WaveformDiscriminator(channels), *by_period, *spectral])

    def forward(self, audio: Tensor) -> DiscriminatorOutput:
        """Score audio [B, T], T > 40; scores are [B, N]."""
        features = [part(audio.unsqueeze(1)) for part in self.discriminators]
        return DiscriminatorOutput([maps[-1].flatten(1) for maps in features], features)


class WaveformDiscriminator(nn.Module):
    """Strided, grouped convolutions on the waveform (MelGAN, Kumar et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels // 64, channels // 16, channels // 4, channels, channels]
        layers = [WeightNormConv1d(1, widths[0], 15, padding=7)]
        for before, after in pairwise(widths):
            groups = max(1, before // 4)
            layers.append(WeightNormConv1d(before, after, 41, stride=4, groups=groups, padding=20))
        layers.append(WeightNormConv1d(channels, channels, 5, padding=2))
        self.convs = nn.ModuleList(layers)
        self.conv_post = WeightNormConv1d(channels, 1, 3, padding=1)

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Return the feature maps [B, C, N] of audio [B, 1, T]; the last one is the score."""
        features = []
        x = audio
        for layer in self.convs:
            x = functional.leaky_relu(layer(x), LEAK, inplace=True)
            features.append(x)
        return [*features, self.conv_post(x)]


class PeriodDiscriminator(nn.Module):
    """Convolutions down the columns of the waveform written in rows of `period` samples."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        self.longer = 486 * period  # rows from which on they are the longer axis even in the deepest layers
        widths = [1, channels // 32, channels // 8, channels // 2, channels, channels]
        strides = [3, 3, 3, 3, 1]
        self.convs = nn.ModuleList(
            WeightNormConv2d(before, after, (5, 1), stride=(stride, 1), padding=(2, 0))
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.conv_post = WeightNormConv2d(channels, 1, (3, 1), padding=(1, 0))

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Return the feature maps [B, C, N, period] of audio [B, 1, T]; the last one is the score."""
        x = functional.pad(audio, (0, -audio.shape[2] % self.period), mode="reflect")
        x = x.reshape(x.shape[0], 1, -1, self.period)
        # convolutions are fastest along the longer of the two axes: rows, if there are six times as many after 81 to 1
        is_transposed = x.shape[2] > self.longer
        x = x.transpose(2, 3) if is_transposed else x
        features = []
        for layer in [*self.convs, self.conv_post]:
            x = layer(x, is_transposed=is_transposed)
            if layer is not self.conv_post:
                x = functional.leaky_relu(x, LEAK, inplace=True)
            features.append(x)
        return [layer.transpose(2, 3) for layer in features] if is_transposed else features


class SpectrumDiscriminator(nn.Module):
    """Two-dimensional convolutions on the magnitudes at one resolution (UnivNet, Jang et al. 2021).

    Args:
        n_fft: transform in samples.
        hop_length: samples between frames.
        window_length: samples that are seen, all with the same weight, in the middle of the transform.
        channels: width of the layers.
    """

    def __init__(self, n_fft: int, hop_length: int, window_length: int, channels: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        before = (n_fft - window_length) // 2
        window = functional.pad(torch.ones(window_length), (before, n_fft - window_length - before))
        self.register_buffer("window", window, persistent=False)
        self.window: Tensor
        self.convs = nn.ModuleList([WeightNormConv2d(1, channels, (3, 9), padding=(1, 4))])
        for _ in range(3):
            self.convs.append(WeightNormConv2d(channels, channels, (3, 9), stride=(1, 2), padding=(1, 4)))
        self.convs.append(WeightNormConv2d(channels, channels, (3, 3), padding=(1, 1)))
        self.conv_post = WeightNormConv2d(channels, 1, (3, 3), padding=(1, 1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Return the feature maps [B, C, bins, N] of audio [B, 1, T]; the last one is the score."""
        x = self._magnitudes(audio.squeeze(1)).unsqueeze(1)
        features = []
        for layer in self.convs:
            x = functional.leaky_relu(layer(x), LEAK, inplace=True)
            features.append(x)
        return [*features, self.conv_post(x)]

    def _magnitudes(self, audio: Tensor) -> Tensor:
        with torch.autocast(audio.device.type, enabled=False):
            reach = (self.n_fft - self.hop_length) // 2
            padded = functional.pad(audio.float(), (reach, reach), mode="reflect")
            spectrum = torch.stft(
                padded, self.n_fft, self.hop_length, window=self.window, center=False, return_complex=True
            )
            return spectrum.abs()
