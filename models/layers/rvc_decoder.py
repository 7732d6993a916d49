"""Decoder of RVC: HiFi-GAN (Kong et al. 2020) fed with a sine source at every scale (NSF, Wang et al. 2019).

Module names are those of the published checkpoints.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.recompute import RecomputableBlock
from models.layers.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d, as_line, prefers_lines
from models.layers.whole_cycles import cycles_before
from models.layers.widest_float import widest_float
from utils.audio.graph_form import in_graph_parts
from utils.errors import ConfigError

LEAK = 0.1
LAST_LEAK = 0.01
SINE_LEVEL = 0.1
VOICED_NOISE = 0.003
UNVOICED_NOISE = SINE_LEVEL / 3


class SourceDecoder(nn.Module, ABC):
    """What decodes a latent together with a source that it makes of the pitch."""

    def forward(self, latent: Tensor, f0_hz: Tensor, speaker: Tensor, noise: Tensor) -> Tensor:
        """Generate audio.

        Args:
            latent: [B, C, F].
            f0_hz: [B, F], 0 in unvoiced frames; ignored without a source.
            speaker: [B, E, 1].
            noise: [B, F * hop] of unit variance for the source; ignored without one.
        Returns:
            [B, F * hop] between -1 and 1.
        """
        return self.decode(latent, speaker, self.source(f0_hz, noise))

    @abstractmethod
    def source(self, f0_hz: Tensor, noise: Tensor) -> Tensor | None:
        """Return the source [B, ?, F * hop] of f0_hz [B, F] and noise [B, F * hop]; None for a decoder without one."""

    @abstractmethod
    def decode(self, latent: Tensor, speaker: Tensor, source: Tensor | None) -> Tensor:
        """Generate audio [B, F * hop] of a latent [B, C, F], a speaker [B, E, 1] and the source."""


class StagedDecoder(SourceDecoder):
    """What decoders share whose stages each raise the rate, add the source and run parallel residual blocks.

    A subclass makes the layers named here and says which of them belong to a stage.
    """

    m_source: nn.Module | None
    conv_pre: nn.Module
    noise_convs: nn.ModuleList
    conv_post: nn.Module
    cond: nn.Module
    num_stages: int
    takes_lines = True  # whether the stages take [B, C, 1, T] as well

    @abstractmethod
    def upsampling(self, index: int) -> nn.Module:
        """Return the transposed convolution of a stage."""

    @abstractmethod
    def blocks(self, index: int) -> Sequence[nn.Module]:
        """Return the parallel residual blocks of a stage."""

    def activate(self, index: int, x: Tensor) -> Tensor:
        """Return what the transposed convolution of a stage is given."""
        return functional.leaky_relu(x, LEAK)

    def activate_last(self, x: Tensor) -> Tensor:
        """Return what the last convolution is given."""
        return functional.leaky_relu(x, LAST_LEAK)

    def source(self, f0_hz: Tensor, noise: Tensor) -> Tensor | None:
        """Return the source [B, 1, F * hop], None for a decoder without one."""
        return self.m_source(f0_hz, noise).unsqueeze(1) if self.m_source is not None else None

    def decode(self, latent: Tensor, speaker: Tensor, source: Tensor | None) -> Tensor:
        """Generate audio [B, F * hop] of a latent [B, C, F], a speaker [B, E, 1] and the source."""
        x = self.conv_pre(latent) + self.cond(speaker)
        is_line = self.takes_lines and prefers_lines(x)
        x = as_line(x) if is_line else x
        for index in range(self.num_stages - 1):
            x = self.stage(index, x, source)
        # fp32 where samples are made: the rounding of sixteen bits would be heard as noise, and the spectral loss would
        # fall more slowly (benchmarks/results/rvc_speed_2core-avx512_2026-11-21.md)
        with torch.autocast(x.device.type, enabled=False):
            x = x.squeeze(2).float().contiguous() if is_line else x.float()
            x = self.stage(self.num_stages - 1, x, source)
            return torch.tanh(self.conv_post(self.activate_last(x))).squeeze(1)

    def stage(self, index: int, x: Tensor, source: Tensor | None) -> Tensor:
        """Raise the rate of [B, C, T], or of a line [B, C, 1, T], by one factor."""
        x = self.upsampling(index)(self.activate(index, x))
        if source is not None:
            added = self.noise_convs[index](source)
            x = x + (as_line(added) if x.dim() == 4 else added)
        blocks = [block(x) for block in self.blocks(index)]
        total: Tensor = sum(blocks[1:], blocks[0]) / len(blocks)
        return total


class HifiGanDecoder(StagedDecoder):
    """From latent frames to audio by transposed convolutions and residual blocks.

    Args:
        channels: C of the latent.
        sample_rate: samples per second.
        upsample_rates: factor of each stage; their product is the hop.
        upsample_kernel_sizes: kernel of each stage.
        upsample_channels: width before the first stage, halved by each.
        resblock_kernel_sizes: kernels of the parallel residual blocks of a stage.
        resblock_dilations: dilations within each of them.
        speaker_dim: size of a speaker's embedding.
        use_f0: whether a sine source is added at every stage.
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
        self.num_stages, self.num_kernels = len(upsample_rates), len(resblock_kernel_sizes)
        hop_length = math.prod(upsample_rates)
        self.hop_length = hop_length
        self.m_source = SineSource(sample_rate, hop_length) if use_f0 else None
        self.conv_pre = nn.Conv1d(channels, upsample_channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.noise_convs = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        width, remaining = upsample_channels, hop_length
        for rate, kernel_size in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            padding = (kernel_size - rate) // 2
            self.ups.append(WeightNormConvTranspose1d(width, width // 2, kernel_size, stride=rate, padding=padding))
            width, remaining = width // 2, remaining // rate
            if use_f0:
                self.noise_convs.append(source_convolution(width, remaining))
            for kernel, dilations in zip(resblock_kernel_sizes, resblock_dilations, strict=True):
                self.resblocks.append(ResidualBlock(width, kernel, dilations))
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3, bias=False)
        self.cond = nn.Conv1d(speaker_dim, upsample_channels, 1)

    def upsampling(self, index: int) -> nn.Module:
        """Return the transposed convolution of a stage."""
        return self.ups[index]

    def blocks(self, index: int) -> Sequence[nn.Module]:
        """Return the parallel residual blocks of a stage."""
        first = index * self.num_kernels
        return [self.resblocks[number] for number in range(first, first + self.num_kernels)]


class SineSource(nn.Module):
    """One sine at f0, with noise: faint while voiced, louder where unvoiced.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.l_linear = nn.Linear(1, 1)
        self.sums_before = _cycles_before
        self.register_buffer("position", torch.arange(1, hop_length + 1), persistent=False)
        self.position: Tensor

    def graph_form(self) -> "SineSource":
        """Return the same source with sums that stay small, for runtimes that know single precision alone."""
        form = copy.copy(in_graph_parts(self))
        form.sums_before = cycles_before
        return form

    def forward(self, f0_hz: Tensor, noise: Tensor) -> Tensor:
        """Return [B, F * hop] from f0_hz [B, F], constant within a frame, and noise [B, F * hop] of unit variance."""
        with torch.autocast(f0_hz.device.type, enabled=False):
            phase = 2 * math.pi * self.turns(f0_hz)
            voiced = (f0_hz > 0).float().unsqueeze(-1)
            noise_level = voiced * VOICED_NOISE + (1 - voiced) * UNVOICED_NOISE
            source = SINE_LEVEL * torch.sin(phase) * voiced + noise_level * noise.float().reshape(phase.shape)
            shaped = torch.tanh(source * self.l_linear.weight.view(()) + self.l_linear.bias)
        return shaped.reshape(noise.shape)

    def turns(self, f0_hz: Tensor) -> Tensor:
        """Return how far the sine has turned at each sample, [B, F, hop] in cycles from 0 to 1, of f0_hz [B, F]."""
        cycles = f0_hz.to(widest_float(f0_hz.device)) / self.sample_rate
        start = self.sums_before(cycles * len(self.position))
        turns = start.unsqueeze(-1) + cycles.unsqueeze(-1) * self.position
        return (turns - torch.floor(turns)).float()


def _cycles_before(cycles: Tensor) -> Tensor:
    """Return the sum of [B, F] before each frame without whole cycles."""
    # not float32 where it can be: after minutes a float32 sum of cycles has lost the phase
    total = torch.cumsum(cycles, dim=1)
    return functional.pad((total - torch.floor(total))[:, :-1], (1, 0))


class ResidualBlock(RecomputableBlock):
    """Pairs of a dilated and a plain convolution, each pair with a residual sum; `leak` is the rectifiers' slope."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int], *, leak: float = LEAK) -> None:
        super().__init__()
        self.leak = leak
        self.convs1 = nn.ModuleList(
            WeightNormConv1d(
                channels, channels, kernel_size, dilation=dilation, padding=(kernel_size - 1) * dilation // 2
            )
            for dilation in dilations
        )
        self.convs2 = nn.ModuleList(
            WeightNormConv1d(channels, channels, kernel_size, padding=(kernel_size - 1) // 2) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T], or [B, C, 1, T] from [B, C, 1, T]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            inner = dilated(functional.leaky_relu(x, self.leak))
            x = x + plain(functional.leaky_relu(inner, self.leak, inplace=True))
        return x


def source_convolution(channels: int, stride: int) -> nn.Conv1d:
    """Bring the source to the rate of a stage that is `stride` samples per step."""
    if stride == 1:
        return nn.Conv1d(1, channels, 1)
    return nn.Conv1d(1, channels, 2 * stride, stride=stride, padding=stride // 2)


def require_pitch(use_f0: bool, vocoder: str) -> None:
    """Raise ConfigError for a decoder that there is with a pitch alone."""
    if not use_f0:
        raise ConfigError(
            f"model.use_f0=false: there is no {vocoder} without pitch; choose model=rvc_v2_<rate>, which has one"
        )
