"""RefineGAN (Xu et al. 2022) as Applio has it: a sine is taken down to frames, joined with the latent and refined.

Module names are those of the published checkpoints.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.frames import FramesToSamples
from models.layers.rvc_decoder import (
    SINE_LEVEL,
    UNVOICED_NOISE,
    VOICED_NOISE,
    ResidualBlock,
    SourceDecoder,
    require_pitch,
)
from models.layers.weight_norm import WeightNormConv1d
from models.layers.widest_float import widest_float

LEAK = 0.2
KERNEL = 7
FIRST_NOISE_LEVEL = 1e-4
# the band-limiting filter of the way down: torchaudio's resampling "sinc_interp_kaiser" with these settings
ZERO_CROSSINGS, ROLL_OFF, KAISER_BETA = 64, 0.9475937167399596, 14.769656459379492


class RefineGanDecoder(SourceDecoder):
    """From latent frames to audio.

    Args:
        channels: C of the latent.
        sample_rate: samples per second.
        upsample_rates: factor of each stage; their product is the hop.
        upsample_kernel_sizes: no effect, the stages interpolate; the files of Applio state them.
        upsample_channels: width before the first stage, halved by each.
        resblock_kernel_sizes: kernels of the parallel branches of a stage.
        resblock_dilations: dilations within each of them.
        speaker_dim: size of a speaker's embedding.
        use_f0: whether the pitch is known.
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
        require_pitch(use_f0, "RefineGAN")
        hop_length = math.prod(upsample_rates)
        half = upsample_channels // 2
        width = half // 2 ** len(upsample_rates)
        self.hop_length = hop_length
        self.m_source = GlidingSine(sample_rate, hop_length)
        self.pre_conv = WeightNormConv1d(1, width, KERNEL, padding=KERNEL // 2)
        self.decimators = nn.ModuleList(Decimator(rate) for rate in reversed(upsample_rates))
        self.downsample_blocks = nn.ModuleList()
        for _ in upsample_rates:
            self.downsample_blocks.append(WeightNormConv1d(width, 2 * width, KERNEL, padding=KERNEL // 2))
            width = 2 * width
        self.mel_conv = WeightNormConv1d(channels, half, KERNEL, padding=KERNEL // 2)
        self.cond = nn.Conv1d(speaker_dim, half, 1)
        self.upsamplers = nn.ModuleList(FramesToSamples(rate) for rate in upsample_rates)
        self.upsample_conv_blocks = nn.ModuleList()
        width, per_frame = upsample_channels, 1
        for index, rate in enumerate(upsample_rates):
            per_frame *= rate
            rows = NoiseRows(width // 2, per_frame, hop_length, index * 2 * len(resblock_kernel_sizes))
            self.upsample_conv_blocks.append(
                RefiningBlock(width + width // 4, width // 2, resblock_kernel_sizes, resblock_dilations, rows)
            )
            width //= 2
        self.conv_post = WeightNormConv1d(width, 1, KERNEL, padding=KERNEL // 2, bias=False)

    def source(self, f0_hz: Tensor, noise: Tensor) -> Tensor:
        """Return [B, 2, F * hop]: the sine, and the noise for the blocks."""
        return torch.stack([self.m_source(f0_hz, noise), noise], dim=1)

    def decode(self, latent: Tensor, speaker: Tensor, source: Tensor | None) -> Tensor:
        """Generate audio [B, F * hop] of a latent [B, C, F], a speaker [B, E, 1] and the source."""
        assert source is not None
        skips = []
        x = self.pre_conv(source[:, :1])
        for decimate, convolve in zip(self.decimators, self.downsample_blocks, strict=True):
            x = functional.leaky_relu(x, LEAK)
            skips.append(x)
            x = convolve(decimate(x))
        x = torch.cat([self.mel_conv(latent) + self.cond(speaker), x], dim=1)
        for index in range(len(skips) - 1):
            x = self._refine(index, x, skips[-1 - index], source[:, 1])
        # fp32 where samples are made, as in HifiGanDecoder
        with torch.autocast(x.device.type, enabled=False):
            x = self._refine(len(skips) - 1, x.float(), skips[0].float(), source[:, 1])
            return torch.tanh(self.conv_post(functional.leaky_relu(x, LEAK))).squeeze(1)

    def _refine(self, index: int, x: Tensor, skip: Tensor, noise: Tensor) -> Tensor:
        """Raise the rate of [B, C, T] by the factor of a stage and join it with the source of that rate."""
        x = functional.leaky_relu(x, LEAK)
        raised = self.upsamplers[index](x.flatten(0, 1)).reshape(x.shape[0], x.shape[1], -1)
        refined: Tensor = self.upsample_conv_blocks[index](torch.cat([raised, skip], dim=1), noise)
        return refined


class GlidingSine(nn.Module):
    """One sine at the linearly interpolated f0, which glides to 0 where voiced meets unvoiced, with noise.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.interpolate = FramesToSamples(hop_length)
        self.merge = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh())

    def forward(self, f0_hz: Tensor, noise: Tensor) -> Tensor:
        """Return [B, F * hop] from f0_hz [B, F] and noise [B, F * hop] of unit variance."""
        with torch.autocast(f0_hz.device.type, enabled=False):
            f0_hz = self.interpolate(f0_hz.float())
            # not float32 where it can be: after minutes a float32 sum of cycles has lost the phase
            turns = torch.cumsum(f0_hz.to(widest_float(f0_hz.device)) / self.sample_rate, dim=1)
            phase = 2 * math.pi * (turns - torch.floor(turns)).float()
            voiced = (f0_hz > 0).float()
            noise_level = voiced * VOICED_NOISE + (1 - voiced) * UNVOICED_NOISE
            source = SINE_LEVEL * torch.sin(phase) * voiced + noise_level * noise.float()
            merged: Tensor = self.merge(source.unsqueeze(2)).squeeze(2)
        return merged


class Decimator(nn.Module):
    """Band-limited reduction of the rate by a Kaiser-windowed sinc.

    Args:
        factor: samples that become one.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.reach = math.ceil(ZERO_CROSSINGS * factor / ROLL_OFF)
        time = np.arange(-self.reach, self.reach + factor) * ROLL_OFF / factor
        time = time.clip(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = np.i0(KAISER_BETA * np.sqrt(1 - (time / ZERO_CROSSINGS) ** 2)) / np.i0(KAISER_BETA)
        kernel = torch.from_numpy(np.sinc(time) * window * ROLL_OFF / factor).float()
        self.register_buffer("kernel", kernel.reshape(1, 1, -1), persistent=False)
        self.kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, T / factor] from [B, C, T]."""
        padded = functional.pad(x, (self.reach, self.reach))
        rows = padded.reshape(-1, 1, padded.shape[2])
        return functional.conv1d(rows, self.kernel.to(x.dtype), stride=self.factor).reshape(x.shape[0], x.shape[1], -1)


class RefiningBlock(nn.Module):
    """A convolution followed by parallel branches: noise, residual block, noise.

    Args:
        in_channels: C of the input.
        channels: C' of the output.
        kernel_sizes: of each branch.
        dilations: of each branch.
        noise_rows: makes the noise of the blocks.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_sizes: Sequence[int],
        dilations: Sequence[Sequence[int]],
        noise_rows: "NoiseRows",
    ) -> None:
        super().__init__()
        self.noise_rows = noise_rows
        self.input_conv = nn.Conv1d(in_channels, channels, KERNEL, padding=KERNEL // 2)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [NoiseBlock(channels), ResidualBlock(channels, kernel, steps, leak=LEAK), NoiseBlock(channels)]
            )
            for kernel, steps in zip(kernel_sizes, dilations, strict=True)
        )

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return [B, C', T] from [B, C, T] and noise [B, F * hop]."""
        x = self.input_conv(x)
        branches = []
        for number, branch in enumerate(self.blocks):
            before, block, after = cast(nn.ModuleList, branch)
            inner = block(before(x, self.noise_rows(noise, 2 * number)))
            branches.append(after(inner, self.noise_rows(noise, 2 * number + 1)))
        total: Tensor = sum(branches[1:], branches[0]) / len(branches)
        return total


class NoiseBlock(nn.Module):
    """Noise of a learnt level for each channel, and a leaky rectifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), FIRST_NOISE_LEVEL))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return [B, C, T] from [B, C, T] and noise [B, C, T] of unit variance."""
        return functional.leaky_relu(x + (noise * self.weight.unsqueeze(1)).to(x.dtype), LEAK)


class NoiseRows(nn.Module):
    """Noise for every channel of a block out of the one noise of the source, read in another order for each.

    The noise is cut into hop - 1 pieces of F samples, which each channel takes one after the other from another one
    on: hop - 1 and the pieces of a channel have no common divisor.

    Args:
        channels: C.
        per_frame: samples per frame at the rate of the block.
        hop_length: samples per frame of the noise.
        first: number of the first block of the stage.
    """

    def __init__(self, channels: int, per_frame: int, hop_length: int, first: int) -> None:
        super().__init__()
        self.channels, self.per_frame, self.hop_length, self.first = channels, per_frame, hop_length, first

    def forward(self, noise: Tensor, number: int) -> Tensor:
        """Return [B, C, F * per_frame] from noise [B, F * hop] for a block of the stage."""
        pieces = noise.reshape(noise.shape[0], self.hop_length, -1)[:, :-1]
        start, count = 17 * (self.first + number), self.channels * self.per_frame
        repeated = pieces.repeat(1, -(-(start + count) // (self.hop_length - 1)), 1)
        return repeated[:, start : start + count].reshape(noise.shape[0], self.channels, -1)
