"""The network of the built-in content encoder: convolutions to 50 frames a second, then transformer layers."""

from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.local_attention import AttentionPlan, LocalAttention

FRAME_SAMPLES = 320  # at 16 kHz: 50 frames a second
# kernels and strides of the stem; frame k is centred on the middle of its 320 samples
KERNELS, STRIDES = (127, 5, 3), (80, 2, 2)
PAD_LEFT, PAD_RIGHT = 223, 224
FRAME_ANGLE = FRAME_SAMPLES / 384  # positions count in frames of 384 samples, those of Moonshine


class ContentNetwork(nn.Module):
    """16 kHz audio to features, 50 frames a second. The layout is that of Moonshine's encoder (Jeffries et al. 2024),
    at another frame rate, without normalisation over the whole recording and with bounded attention.

    Args:
        channels: width.
        num_layers: transformer layers.
        num_heads: attention heads.
        rotary_dim: components of a head that carry the position.
        past: frames (20 ms each) before the current one that each layer sees.
        future: frames after the current one that each layer sees.
        dim: size of the output vectors.
    """

    def __init__(
        self, *, channels: int, num_layers: int, num_heads: int, rotary_dim: int, past: int, future: int, dim: int
    ) -> None:
        super().__init__()
        self.future = future
        self.filters = nn.Conv1d(1, channels, KERNELS[0], stride=STRIDES[0], bias=False)
        self.widen = nn.Conv1d(channels, 2 * channels, KERNELS[1], stride=STRIDES[1])
        self.narrow = nn.Conv1d(2 * channels, channels, KERNELS[2], stride=STRIDES[2])
        self.layers = nn.ModuleList(
            Layer(channels, num_heads=num_heads, rotary_dim=rotary_dim, past=past) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels, bias=False)
        self.head = nn.Linear(channels, dim)

    def hidden(self, audio: Tensor, *, future: int | None = None) -> Tensor:
        """Return what the head reads, [B, F, channels], of audio [B, F * 320]; see forward."""
        x = self.stem(audio)
        seen = self.future if future is None else future
        plan = cast(Layer, self.layers[0]).attention.plan(x, seen)
        for layer in self.layers:
            x = layer(x, seen, plan)
        return self.norm(x)

    def stem(self, audio: Tensor) -> Tensor:
        """Return what the layers read, frames [B, F, channels], of audio [B, F * 320]."""
        x = torch.tanh(self.filters(functional.pad(audio, (PAD_LEFT, PAD_RIGHT)).unsqueeze(1)))
        return functional.gelu(self.narrow(functional.gelu(self.widen(x)))).transpose(1, 2)

    def forward(self, audio: Tensor, *, future: int | None = None) -> Tensor:
        """Return [B, F, dim] of audio [B, F * 320].

        Args:
            audio: at 16 kHz.
            future: frames after the current one that each layer sees; default: as the network was made.
        """
        return self.head(self.hidden(audio, future=future))


class Layer(nn.Module):
    """Attention and a two-layer perceptron, each with a norm before it and added to its input."""

    def __init__(self, channels: int, *, num_heads: int, rotary_dim: int, past: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, bias=False)
        self.attention = LocalAttention(
            channels, num_heads=num_heads, rotary_dim=rotary_dim, past=past, frame_angle=FRAME_ANGLE
        )
        self.norm = nn.LayerNorm(channels, bias=False)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor, future: int, plan: AttentionPlan) -> Tensor:
        """Return [B, F, C] from [B, F, C]."""
        x = x + self.attention(self.attention_norm(x), future, plan)
        return x + self.project(functional.gelu(self.expand(self.norm(x))))
