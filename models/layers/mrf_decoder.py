"""Applio's MRF HiFi-GAN: RVC's decoder with a source of nine harmonics and normalised first and last layers.

Module names are those of the published checkpoints.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.harmonic_source import HarmonicSource
from models.layers.recompute import RecomputableBlock
from models.layers.rvc_decoder import LEAK, StagedDecoder, require_pitch, source_convolution
from models.layers.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

NUM_OVERTONES = 8


class MrfDecoder(StagedDecoder):
    """From latent frames to audio by transposed convolutions and residual blocks; arguments as in HifiGanDecoder.

    Raises:
        ConfigError: without f0, for which Applio has no such decoder.
    """

    def __init__(
        self,
        *,
        channels: int,
        sample_rate: int,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        upsample_channels: int,
        resblock_kernel_sizes: Sequence[int],
        resblock_dilations: Sequence[Sequence[int]],
        speaker_dim: int,
        use_f0: bool,
    ) -> None:
        super().__init__()
        require_pitch(use_f0, "MRF HiFi-GAN")
        self.num_stages = len(upsample_rates)
        hop_length = math.prod(upsample_rates)
        self.m_source = HarmonicSource(sample_rate, hop_length, num_overtones=NUM_OVERTONES)
        self.conv_pre = WeightNormConv1d(channels, upsample_channels, 7, padding=3)
        self.upsamples = nn.ModuleList()
        self.noise_convs = nn.ModuleList()
        self.mrfs = nn.ModuleList()
        width, remaining = upsample_channels, hop_length
        for rate, kernel_size in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            padding = (kernel_size - rate) // 2
            self.upsamples.append(
                WeightNormConvTranspose1d(width, width // 2, kernel_size, stride=rate, padding=padding)
            )
            width, remaining = width // 2, remaining // rate
            self.noise_convs.append(source_convolution(width, remaining))
            kernels = zip(resblock_kernel_sizes, resblock_dilations, strict=True)
            self.mrfs.append(nn.ModuleList(MrfBlock(width, kernel, dilations) for kernel, dilations in kernels))
        self.conv_post = WeightNormConv1d(width, 1, 7, padding=3)
        self.cond = nn.Conv1d(speaker_dim, upsample_channels, 1)

    def upsampling(self, index: int) -> nn.Module:
        """Return the transposed convolution of a stage."""
        return self.upsamples[index]

    def blocks(self, index: int) -> Sequence[nn.Module]:
        """Return the parallel residual blocks of a stage."""
        return list(cast(nn.ModuleList, self.mrfs[index]))


class MrfBlock(RecomputableBlock):
    """Residual layers of one kernel size, one per dilation."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MrfLayer(channels, kernel_size, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T], or [B, C, 1, T] from [B, C, 1, T]."""
        for layer in self.layers:
            x = layer(x)
        return x


class MrfLayer(nn.Module):
    """A dilated and a plain convolution with a residual sum."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        reach = (kernel_size - 1) // 2
        self.conv1 = WeightNormConv1d(channels, channels, kernel_size, dilation=dilation, padding=reach * dilation)
        self.conv2 = WeightNormConv1d(channels, channels, kernel_size, padding=reach)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T], or [B, C, 1, T] from [B, C, 1, T]."""
        inner = self.conv1(functional.leaky_relu(x, LEAK))
        changed: Tensor = self.conv2(functional.leaky_relu(inner, LEAK, inplace=True))
        return x + changed
