"""The built-in content encoder for streams: the features of look_ahead=short, block by block."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.local_attention import MASKED, LocalAttention
from models.layers.streaming import Memory
from utils.features.content.base import normalize_content
from utils.features.content.network import KERNELS, PAD_LEFT, PAD_RIGHT, STRIDES, ContentNetwork, Layer


class StreamContent(nn.Module):
    """Features of frames of 20 ms that end 14 ms before the newest sample.

    Args:
        network: the encoder's.
    """

    def __init__(self, network: ContentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: Tensor, memory: Memory) -> Tensor:
        """Return features [B, F / 2, D] of the next F * 160 samples at 16 kHz, [B, F * 160]; F is even."""
        network = self.network
        x = memory.extend("content.audio", audio, PAD_LEFT + PAD_RIGHT)
        x = torch.tanh(network.filters(x.unsqueeze(1))).transpose(1, 2)
        x = functional.gelu(_convolve(network.widen, x, 1))
        x = functional.gelu(_convolve(network.narrow, x, 2))
        seen = memory.extend("content.seen", torch.ones_like(x[..., 0]), _past(network))
        for index, layer in enumerate(network.layers):
            assert isinstance(layer, Layer)
            x = x + attend(layer.attention, layer.attention_norm(x), seen, memory, f"content.layer{index}")
            x = x + layer.project(functional.gelu(layer.expand(layer.norm(x))))
        features: Tensor = network.head(network.norm(x))
        return normalize_content(features)


def attend(attention: LocalAttention, x: Tensor, seen: Tensor, memory: Memory, name: str) -> Tensor:
    """Return what LocalAttention returns without a look at the future, [B, F, C] of the next frames [B, F, C].

    Args:
        attention: the layer.
        x: the next frames.
        seen: [B, past + F], 1 where there was a frame, 0 before the start of the stream.
        memory: of the stream.
        name: of the layer.
    """
    past, (batch, frames, channels) = attention.past, map(int, x.shape)
    # positions count from the oldest frame that is kept: the angle between two frames is all that matters
    cosine, sine = attention._rotation(seen.unsqueeze(-1))
    heads = (batch, -1, attention.num_heads, attention.head_dim)
    query = attention.query(x).reshape(heads).transpose(1, 2)
    query = attention._rotate(query, cosine[past:], sine[past:])
    key = memory.extend(f"{name}.key", attention.key(x), past).reshape(heads).transpose(1, 2)
    key = attention._rotate(key, cosine, sine)
    value = memory.extend(f"{name}.value", attention.value(x), past).reshape(heads).transpose(1, 2)
    offset = torch.arange(past + frames, device=x.device) - past - torch.arange(frames, device=x.device)[:, None]
    band = ((offset >= -past) & (offset <= 0)).to(x.dtype)
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(attention.head_dim)
    scores = scores + (1 - seen[:, None, None] * band) * MASKED
    mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
    mixed_output: Tensor = attention.output(mixed.transpose(1, 2).reshape(batch, frames, channels))
    return mixed_output


def _past(network: ContentNetwork) -> int:
    first = network.layers[0]
    assert isinstance(first, Layer)
    return first.attention.past


def _convolve(convolution: nn.Conv1d, x: Tensor, stage: int) -> Tensor:
    """Return [B, F', out] of [B, F, in] as one matrix product, which few frames do faster than a convolution."""
    kernel, stride = KERNELS[stage], STRIDES[stage]
    count = (int(x.shape[1]) - kernel) // stride + 1
    places = torch.arange(count, device=x.device)[:, None] * stride + torch.arange(kernel, device=x.device)
    weight = convolution.weight.permute(2, 1, 0).flatten(0, 1)
    assert convolution.bias is not None
    return torch.matmul(x[:, places].flatten(2), weight) + convolution.bias

