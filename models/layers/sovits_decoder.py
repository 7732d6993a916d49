"""Decoders of So-VITS-SVC 4: HiFi-GAN with a source of nine harmonics, and the same with snakes as activations.

Module names are those of the published checkpoints.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.harmonic_source import HarmonicSource
from models.layers.recompute import RecomputableBlock
from models.layers.rvc_decoder import ResidualBlock, StagedDecoder, source_convolution
from models.layers.snake import Snake
from models.layers.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

NUM_OVERTONES = 8
BLOCK_KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)  # of the residual blocks of a stage, in every published file


class SovitsDecoder(StagedDecoder):
    """From latent frames to audio by transposed convolutions and residual blocks.

    Args:
        channels: C of the latent.
        sample_rate: samples per second.
        upsample_rates: factor of each stage; their product is the hop.
        upsample_kernel_sizes: kernel of each stage.
        upsample_channels: width before the first stage, halved by each.
        speaker_dim: size of a speaker's embedding.
        use_snakes: whether the activations are snakes ("nsf-snake-hifigan").
    """

    def __init__(
        self,
        *,
        channels: int,
        sample_rate: int,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        upsample_channels: int,
        speaker_dim: int,
        use_snakes: bool,
    ) -> None:
        super().__init__()
        self.num_stages, self.num_kernels = len(upsample_rates), len(BLOCK_KERNELS)
        hop_length = math.prod(upsample_rates)
        self.m_source = HarmonicSource(sample_rate, hop_length, num_overtones=NUM_OVERTONES)
        self.noise_convs = nn.ModuleList()
        self.conv_pre = WeightNormConv1d(channels, upsample_channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        block = SnakeResidualBlock if use_snakes else ResidualBlock
        width, remaining = upsample_channels, hop_length
        widths = [width]
        for rate, kernel_size in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            padding = (kernel_size - rate) // 2
            self.ups.append(WeightNormConvTranspose1d(width, width // 2, kernel_size, stride=rate, padding=padding))
            width, remaining = width // 2, remaining // rate
            widths.append(width)
            self.noise_convs.append(source_convolution(width, remaining))
            self.resblocks.extend(block(width, kernel, DILATIONS) for kernel in BLOCK_KERNELS)
        self.snakes = nn.ModuleList(Snake(width) for width in widths[:-1]) if use_snakes else None
        self.conv_post = WeightNormConv1d(width, 1, 7, padding=3)
        self.snake_post = Snake(width) if use_snakes else None
        self.cond = nn.Conv1d(speaker_dim, upsample_channels, 1)
        self.takes_lines = not use_snakes

    def upsampling(self, index: int) -> nn.Module:
        """Return the transposed convolution of a stage."""
        return self.ups[index]

    def blocks(self, index: int) -> Sequence[nn.Module]:
        """Return the parallel residual blocks of a stage."""
        first = index * self.num_kernels
        return [self.resblocks[number] for number in range(first, first + self.num_kernels)]

    def activate(self, index: int, x: Tensor) -> Tensor:
        """Return what the transposed convolution of a stage is given."""
        return super().activate(index, x) if self.snakes is None else self.snakes[index](x)

    def activate_last(self, x: Tensor) -> Tensor:
        """Return what the last convolution is given."""
        return super().activate_last(x) if self.snake_post is None else self.snake_post(x)


class SnakeResidualBlock(RecomputableBlock):
    """Pairs of a dilated and a plain convolution with snakes before them, each pair with a residual sum."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        plain = ResidualBlock(channels, kernel_size, dilations)
        self.convs1, self.convs2 = plain.convs1, plain.convs2
        self.activations = nn.ModuleList(Snake(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T]."""
        for number, (dilated, plain) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            inner = dilated(self.activations[2 * number](x))
            x = x + plain(self.activations[2 * number + 1](inner))
        return x
