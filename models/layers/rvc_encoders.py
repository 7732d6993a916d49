"""Encoders and flow of RVC: VITS (Kim et al. 2021) with content frames in place of text.

Module names are those of the published checkpoints. A mask is [B, 1, F] with 1 in frames that are not padding, or None
where there is no padding.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.recompute import RecomputableBlock
from models.layers.relative_attention import attend
from models.layers.weight_norm import WeightNormConv1d

LEAK = 0.1
PUBLISHED_WINDOW = 10  # frames
F0_MIN_HZ, F0_MAX_HZ, PITCH_BINS = 50.0, 1100.0, 256


class Gaussian(NamedTuple):
    """A diagonal normal distribution per frame: mean and natural logarithm of the deviation, each [B, C, F]."""

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + deviation * noise, in fp32."""
        return self.mean.float() + torch.exp(self.log_std.float()) * noise


def quantize_f0(f0_hz: Tensor) -> Tensor:
    """Map frequency to RVC's coarse bins, evenly spaced in mel between 50 and 1100 Hz.

    Args:
        f0_hz: [B, F]; 0 marks an unvoiced frame.
    Returns:
        [B, F] int64 from 1 (unvoiced and below 50 Hz) to 255.
    """
    low, high = _mel(torch.tensor(F0_MIN_HZ)), _mel(torch.tensor(F0_MAX_HZ))
    position = (_mel(f0_hz.float()) - low) * (PITCH_BINS - 2) / (high - low) + 1
    return torch.round(position.clamp(1, PITCH_BINS - 1)).to(torch.int64)


def _mel(hz: Tensor) -> Tensor:
    return 1127.0 * torch.log(1.0 + hz / 700.0)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set padding to zero."""
    return x if mask is None else x * mask.to(x.dtype)


class PriorEncoder(nn.Module):
    """What content and pitch say about the latent: a transformer with relative positions.

    Args:
        content_dim: D of the content.
        channels: C of the latent and width of the blocks.
        filter_channels: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_layers: blocks.
        kernel_size: frames seen by a feed-forward convolution, odd.
        use_f0: whether pitch is an input.
    """

    def __init__(
        self,
        *,
        content_dim: int,
        channels: int,
        filter_channels: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        use_f0: bool,
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(channels)
        self.emb_phone = nn.Linear(content_dim, channels)
        self.emb_pitch = nn.Embedding(PITCH_BINS, channels) if use_f0 else None
        self.encoder = RelativeTransformer(channels, filter_channels, num_heads, num_layers, kernel_size)
        self.proj = nn.Conv1d(channels, 2 * channels, 1)

    def forward(
        self, content: Tensor, f0_hz: Tensor, mask: Tensor | None = None, coarse: Tensor | None = None
    ) -> Gaussian:
        """Return the prior from content [B, F, D] and f0_hz [B, F], or its bins [B, F] where a caller has them."""
        x = self.emb_phone(content)
        if self.emb_pitch is not None:
            x = x + self.emb_pitch(quantize_f0(f0_hz) if coarse is None else coarse)
        x = functional.leaky_relu(x * self.scale, LEAK).transpose(1, 2)
        x = self.encoder(masked(x, mask), mask)
        mean, log_std = masked(self.proj(x), mask).chunk(2, dim=1)
        return Gaussian(mean, log_std)


class RelativeTransformer(nn.Module):
    """Transformer blocks, normalised after each residual sum, over channels-first frames [B, C, F]."""

    def __init__(
        self,
        channels: int,
        filter_channels: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        *,
        window: int = PUBLISHED_WINDOW,
    ) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(
            RelativeAttention(channels, num_heads, window=window) for _ in range(num_layers)
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(num_layers))
        self.ffn_layers = nn.ModuleList(FeedForward(channels, filter_channels, kernel_size) for _ in range(num_layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(num_layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, first_norm, feed_forward, second_norm in layers:
            x = first_norm(x + attention(x, mask))
            x = second_norm(x + feed_forward(x, mask))
        return masked(x, mask)


class RelativeAttention(nn.Module):
    """Self-attention with learned embeddings of the distance up to `window` frames (Shaw et al. 2018).

    The embeddings are shared by the heads; frames further apart have none.
    """

    def __init__(self, channels: int, num_heads: int, *, window: int = PUBLISHED_WINDOW) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window = window
        size = channels // num_heads
        self.size = size
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * window + 1, size) * size**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * window + 1, size) * size**-0.5)
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        for layer in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        result = attend(*self.split_heads(x), self.emb_rel_k, self.emb_rel_v, mask)
        output: Tensor = self.conv_o(result.transpose(2, 3).reshape(x.shape))
        return output

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values [B, heads, F, C / heads] of frames [B, C, F]."""
        made = (layer(x) for layer in (self.conv_q, self.conv_k, self.conv_v))
        query, key, value = (y.reshape(x.shape[0], self.num_heads, self.size, -1).transpose(2, 3) for y in made)
        return query, key, value


class FeedForward(nn.Module):
    """Two convolutions over time with a rectifier between them."""

    def __init__(self, channels: int, filter_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel_size, padding=kernel_size // 2)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        x = torch.relu(self.conv_1(masked(x, mask)))
        return masked(self.conv_2(masked(x, mask)), mask)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of [B, C, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        normal = functional.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5)
        return normal.transpose(1, 2)


class WaveNet(RecomputableBlock):
    """Gated convolutions with skip connections, conditioned on the speaker (van den Oord et al. 2016), undilated.

    Args:
        channels: C.
        num_layers: convolutions.
        speaker_dim: size of a speaker's embedding.
        kernel_size: frames seen by each convolution, odd.
        is_separable: whether each convolution is one over time, channel by channel, and one over channels.
    """

    def __init__(
        self, channels: int, num_layers: int, speaker_dim: int, *, kernel_size: int = 5, is_separable: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        make = SeparableConv if is_separable else _framed_conv
        self.in_layers = nn.ModuleList(make(channels, 2 * channels, kernel_size) for _ in range(num_layers))
        self.res_skip_layers = nn.ModuleList(
            WeightNormConv1d(channels, 2 * channels if index < num_layers - 1 else channels, 1)
            for index in range(num_layers)
        )
        self.cond_layer = WeightNormConv1d(speaker_dim, 2 * channels * num_layers, 1)

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F] and speaker [B, E, 1]."""
        conditions = self.cond_layer(speaker).split(2 * self.channels, dim=1)
        skips = []
        for layer, res_skip, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            signal, gate = (layer(x) + condition).chunk(2, dim=1)
            result = res_skip(torch.tanh(signal) * torch.sigmoid(gate))
            if result.shape[1] > self.channels:
                x = masked(x + result[:, : self.channels], mask)
            skips.append(result[:, -self.channels :])
        return masked(torch.stack(skips).sum(0), mask)


class SeparableConv(nn.Module):
    """A convolution over time, channel by channel, followed by one over channels."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depth_conv = WeightNormConv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.point_conv = WeightNormConv1d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', F] from [B, C, F]."""
        mixed: Tensor = self.point_conv(self.depth_conv(x))
        return mixed


def _framed_conv(channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    return WeightNormConv1d(channels, out_channels, kernel_size, padding=kernel_size // 2)


class PosteriorEncoder(nn.Module):
    """What a spectrogram says about the latent; for training only.

    Args:
        num_bins: frequency bins of the linear spectrogram.
        channels: C of the latent.
        num_layers: convolutions of the WaveNet.
        speaker_dim: size of a speaker's embedding.
        is_separable: see WaveNet.
    """

    def __init__(
        self, *, num_bins: int, channels: int, num_layers: int, speaker_dim: int, is_separable: bool = False
    ) -> None:
        super().__init__()
        self.pre = nn.Conv1d(num_bins, channels, 1)
        self.enc = WaveNet(channels, num_layers, speaker_dim, is_separable=is_separable)
        self.proj = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, spectrogram: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Gaussian:
        """Return the posterior from magnitudes [B, num_bins, F] and speaker [B, E, 1]."""
        x = self.enc(masked(self.pre(spectrogram), mask), speaker, mask)
        mean, log_std = masked(self.proj(x), mask).chunk(2, dim=1)
        return Gaussian(mean, log_std)


class Flow(nn.Module):
    """Speaker-dependent, invertible map between posterior and prior latents, of volume 1.

    Args:
        channels: C of the latent, even.
        speaker_dim: size of a speaker's embedding.
        num_couplings: coupling layers, each followed by a reversal of the channels.
        num_layers: convolutions in each.
        make_encoder: makes what stands in a coupling in place of a WaveNet of num_layers; None for that.
        is_shared: whether all couplings have the same one, which then also has the name wn.
    """

    def __init__(
        self,
        channels: int,
        speaker_dim: int,
        *,
        num_couplings: int = 4,
        num_layers: int = 3,
        make_encoder: Callable[[], nn.Module] | None = None,
        is_shared: bool = False,
    ) -> None:
        super().__init__()
        make = make_encoder or partial(WaveNet, channels, num_layers, speaker_dim)
        self.flows = nn.ModuleList()
        if is_shared:
            self.wn = make()
        for _ in range(num_couplings):
            self.flows.extend([MeanCoupling(channels, (lambda: self.wn) if is_shared else make), ChannelReversal()])

    def forward(self, latent: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map a posterior latent [B, C, F] to a prior one; speaker is [B, E, 1]."""
        return self._run(list(self.flows), latent, speaker, mask, 1.0)

    def reverse(self, latent: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map a prior latent [B, C, F] to a posterior one; speaker is [B, E, 1]."""
        return self._run(list(reversed(self.flows)), latent, speaker, mask, -1.0)

    @staticmethod
    def _run(steps: list[nn.Module], latent: Tensor, speaker: Tensor, mask: Tensor | None, sign: float) -> Tensor:
        # fp32: what the couplings add up is compared with the prior's mean to a hundredth of its deviation
        with torch.autocast(latent.device.type, enabled=False):
            latent, speaker = latent.float(), speaker.float()
            for step in steps:
                latent = step(latent, speaker, mask, sign)
        return latent


class MeanCoupling(nn.Module):
    """Add to one half of the channels what an encoder makes of the other (Dinh et al. 2017, without scaling)."""

    def __init__(self, channels: int, make_encoder: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, channels, 1)
        self.enc = make_encoder()
        self.post = nn.Conv1d(channels, channels // 2, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]

    def forward(self, latent: Tensor, speaker: Tensor, mask: Tensor | None, sign: float) -> Tensor:
        """Return [B, C, F]; sign is 1 for the forward and -1 for the reverse direction."""
        kept, changed = latent.chunk(2, dim=1)
        shift = masked(self.post(self.enc(masked(self.pre(kept), mask), speaker, mask)), mask)
        return torch.cat([kept, masked(changed + sign * shift, mask)], dim=1)


class ChannelReversal(nn.Module):
    """The channels in reverse order; its own inverse."""

    def forward(self, latent: Tensor, speaker: Tensor, mask: Tensor | None, sign: float) -> Tensor:
        """Return [B, C, F]; the other arguments have no effect."""
        return torch.flip(latent, [1])
