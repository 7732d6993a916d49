"""Prior, pitch decoder and flow blocks of So-VITS-SVC 4: VITS (Kim et al. 2021) on content frames and pitch.

Module names are those of the published checkpoints. A mask is [B, 1, F] with 1 in frames that are not padding, or None
where there is no padding.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.causal_attention import CausalAttention
from models.layers.rvc_encoders import (
    F0_MAX_HZ,
    F0_MIN_HZ,
    PITCH_BINS,
    ChannelNorm,
    Gaussian,
    RelativeTransformer,
    masked,
)
from models.layers.weight_norm import WeightNormConv1d

WINDOW = 4  # frames whose distance the prior's attention knows
Bins = Literal["4.0", "4.1"]


def quantize_f0(f0_hz: Tensor, bins: Bins) -> Tensor:
    """Map frequency to So-VITS-SVC's coarse bins, evenly spaced in mel between 50 and 1100 Hz.

    Args:
        f0_hz: [B, F].
        bins: of which version: 4.1 sends what lies above its last bin, from about 1105 Hz on, to bin 0.
    Returns:
        [B, F] int64 from 0 to 255; 1 at 50 Hz and below.
    """
    low, high = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (F0_MIN_HZ, F0_MAX_HZ))
    share = (PITCH_BINS - 2) / (high - low)
    position = 1127.0 * torch.log(1.0 + f0_hz.float().clamp(min=0.0) / 700.0) * share - (low * share - 1.0)
    if bins == "4.0":
        return torch.floor(position + 0.5).clamp(1, PITCH_BINS - 1).to(torch.int64)
    nearest = torch.round(position).clamp(min=1).to(torch.int64)
    return nearest * (nearest < PITCH_BINS)


def log_f0(f0_hz: Tensor) -> Tensor:
    """Return the scale on which pitch is predicted, a 500th of mel."""
    return 2595.0 * torch.log10(1.0 + f0_hz / 700.0) / 500.0


def f0_of_log(log_pitch: Tensor) -> Tensor:
    """Return the frequency in Hz of a value of log_f0; it may be below 0."""
    return 700.0 * (torch.pow(10.0, log_pitch * 500.0 / 2595.0) - 1.0)


def relative_log_f0(log_pitch: Tensor, voiced: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """Return log_f0 [B, F] less its mean over voiced frames (1 in [B, F]), times a factor."""
    count = voiced.sum(dim=1, keepdim=True)
    count = torch.where(count == 0, torch.full_like(count, 9999.0), count)
    return (log_pitch - (log_pitch * voiced).sum(dim=1, keepdim=True) / count) * factor


class SovitsPrior(nn.Module):
    """What content and pitch say about the latent.

    Args:
        channels: C of the latent and width of the blocks.
        filter_channels: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_layers: blocks.
        kernel_size: frames seen by a feed-forward convolution, odd.
        bins: how pitch is quantised, see quantize_f0.
    """

    def __init__(
        self, *, channels: int, filter_channels: int, num_heads: int, num_layers: int, kernel_size: int, bins: Bins
    ) -> None:
        super().__init__()
        self.bins = bins
        self.proj = nn.Conv1d(channels, 2 * channels, 1)
        self.f0_emb = nn.Embedding(PITCH_BINS, channels)
        self.enc_ = RelativeTransformer(channels, filter_channels, num_heads, num_layers, kernel_size, window=WINDOW)

    def forward(self, x: Tensor, f0_hz: Tensor, mask: Tensor | None = None) -> Gaussian:
        """Return the prior from embedded content [B, C, F] and f0_hz [B, F]."""
        x = x + self.f0_emb(quantize_f0(f0_hz, self.bins)).transpose(1, 2)
        x = self.enc_(masked(x, mask), mask)
        mean, log_std = masked(self.proj(x), mask).chunk(2, dim=1)
        return Gaussian(mean, log_std)


class CausalFeedForward(nn.Module):
    """Two convolutions over the past with a rectifier between them."""

    def __init__(self, channels: int, filter_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.before = kernel_size - 1
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel_size)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        x = torch.relu(self.conv_1(functional.pad(x, (self.before, 0))))
        changed: Tensor = self.conv_2(functional.pad(x, (self.before, 0)))
        return changed


class CausalTransformer(nn.Module):
    """Transformer blocks that look back alone, normalised after each residual sum.

    Args:
        channels: C.
        filter_channels: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_layers: blocks.
        kernel_size: frames seen by a feed-forward convolution.
        speaker_dim: size of a speaker's embedding that gates the input of each block; None for no gates.
    """

    def __init__(
        self,
        *,
        channels: int,
        filter_channels: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        speaker_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        if speaker_dim is not None:
            self.cond_pre = nn.Conv1d(channels, 2 * channels, 1)
            self.cond_layer = WeightNormConv1d(speaker_dim, 2 * channels * num_layers, 1)
        self.is_gated = speaker_dim is not None
        self.self_attn_layers = nn.ModuleList(CausalAttention(channels, num_heads) for _ in range(num_layers))
        self.norm_layers_0 = nn.ModuleList(ChannelNorm(channels) for _ in range(num_layers))
        self.ffn_layers = nn.ModuleList(
            CausalFeedForward(channels, filter_channels, kernel_size) for _ in range(num_layers)
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(num_layers))

    def forward(self, x: Tensor, speaker: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F] and speaker [B, E, 1]; padding comes last and reaches nothing before it."""
        gates = self.cond_layer(speaker).split(2 * self.channels, dim=1) if self.is_gated else ()
        x = masked(x, mask)
        for index, attention in enumerate(self.self_attn_layers):
            if self.is_gated:
                signal, gate = (self.cond_pre(x) + gates[index]).chunk(2, dim=1)
                x = torch.tanh(signal) * torch.sigmoid(gate)
            x = self.norm_layers_0[index](x + attention(x))
            x = self.norm_layers_1[index](x + masked(self.ffn_layers[index](masked(x, mask)), mask))
        return masked(x, mask)


class PitchDecoder(nn.Module):
    """The pitch that a speaker would give to content, as log_f0.

    Args:
        channels: C of the embedded content.
        filter_channels: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_layers: blocks.
        kernel_size: frames seen by a feed-forward convolution.
        speaker_dim: size of a speaker's embedding.
    """

    def __init__(
        self,
        *,
        channels: int,
        filter_channels: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        speaker_dim: int,
    ) -> None:
        super().__init__()
        self.prenet = nn.Conv1d(channels, channels, 3, padding=1)
        self.decoder = CausalTransformer(
            channels=channels,
            filter_channels=filter_channels,
            num_heads=num_heads,
            num_layers=num_layers,
            kernel_size=kernel_size,
        )
        self.proj = nn.Conv1d(channels, 1, 1)
        self.f0_prenet = nn.Conv1d(1, channels, 3, padding=1)
        self.cond = nn.Conv1d(speaker_dim, channels, 1)

    def forward(self, x: Tensor, relative: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return log_f0 [B, F] from embedded content [B, C, F], relative_log_f0 [B, F] and speaker [B, E, 1]."""
        # padding is masked before each convolution here, so that it does not reach the frames before it
        x = x.detach() + self.cond(speaker) + self.f0_prenet(masked(relative.unsqueeze(1), mask))
        x = masked(self.prenet(masked(x, mask)), mask)
        predicted: Tensor = masked(self.proj(self.decoder(x, mask=mask)), mask).squeeze(1)
        return predicted
