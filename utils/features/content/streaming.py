"""The built-in content encoder for streams: the features of look_ahead=short, block by block."""

import math
from typing import NamedTuple

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
        attention = _first(network).attention
        bias = _attention_bias(x, attention.past, memory)
        turn = _turn(x, attention, memory)
        for index, layer in enumerate(network.layers):
            assert isinstance(layer, Layer)
            x = x + attend(layer.attention, layer.attention_norm(x), turn, bias, memory, f"content.layer{index}")
            x = x + layer.project(functional.gelu(layer.expand(layer.norm(x))))
        features: Tensor = network.head(network.norm(x))
        return normalize_content(features)


class Turn(NamedTuple):
    """Rotary positions of the next frames as y = x * cosine + x[..., partner] * sine.

    Attributes:
        cosine: [B, F, 2 C], of queries and keys side by side; 1 where a component carries no position.
        sine: [B, F, 2 C], with the sign.
        partner: [2 C] int64, the component that one is turned with.
    """

    cosine: Tensor
    sine: Tensor
    partner: Tensor


def attend(attention: LocalAttention, x: Tensor, turn: Turn, bias: Tensor, memory: Memory, name: str) -> Tensor:
    """Return what LocalAttention returns without a look at the future, [B, F, C] of the next frames [B, F, C].

    Heads are not taken apart: a query of one head is zero elsewhere, which for few frames is faster.

    Args:
        attention: the layer.
        x: the next frames.
        turn: their positions.
        bias: [B, F, 1, past + F], added to the scores.
        memory: of the stream.
        name: of the layer.
    """
    past, channels, heads = attention.past, attention.num_heads * attention.head_dim, attention.num_heads
    weight = torch.cat([attention.query.weight / math.sqrt(attention.head_dim), attention.key.weight])
    placed = functional.linear(x, weight)
    query, key = (placed * turn.cosine + placed[..., turn.partner] * turn.sine).split(channels, dim=-1)
    key = memory.extend(f"{name}.key", key, past)
    value = memory.extend(f"{name}.value", attention.value(x), past)
    own = torch.arange(channels, device=x.device) // attention.head_dim == torch.arange(heads, device=x.device)[:, None]
    mask = own.to(x.dtype)  # [heads, C]
    scores = torch.matmul(query.unsqueeze(2) * mask, key.transpose(1, 2).unsqueeze(1)) + bias  # [B, F, heads, past + F]
    mixed = torch.matmul(torch.softmax(scores, dim=-1), value.unsqueeze(1)) * mask
    output: Tensor = attention.output(mixed.sum(dim=2))
    return output


def _attention_bias(x: Tensor, past: int, memory: Memory) -> Tensor:
    """Return [B, F, 1, past + F]: 0 where a frame of [B, F, C] may look, else very low."""
    seen = memory.extend("content.seen", torch.ones_like(x[..., 0]), past)  # 0 before the start of the stream
    frames = int(x.shape[1])
    offset = torch.arange(past + frames, device=x.device) - past - torch.arange(frames, device=x.device)[:, None]
    band = ((offset >= -past) & (offset <= 0)).to(x.dtype)
    return ((1 - seen.unsqueeze(1) * band) * MASKED).unsqueeze(2)


def _turn(x: Tensor, attention: LocalAttention, memory: Memory) -> Turn:
    """Return the positions of [B, F, C]; only the angle between two frames matters, so the angle of now is kept."""
    rates, half, heads = attention.rates.double(), attention.rotary_dim // 2, 2 * attention.num_heads
    steps = torch.arange(1, int(x.shape[1]) + 1, device=x.device)[:, None] * rates
    angles = memory.recall("content.angle", (half,), x).double().unsqueeze(1) + steps
    angles = (angles - 2 * math.pi * torch.floor(angles / (2 * math.pi))).to(x.dtype)
    memory.keep(angles[:, -1])
    still = torch.zeros_like(angles[..., :1]).repeat(1, 1, attention.head_dim - 2 * half)
    cosine, sine = torch.cos(angles), torch.sin(angles)
    order = torch.arange(heads * attention.head_dim, device=x.device)
    place = order % attention.head_dim
    partner = order + half * ((place < half).to(order.dtype) - ((place >= half) & (place < 2 * half)).to(order.dtype))
    return Turn(
        torch.cat([cosine, cosine, 1 + still], dim=-1).repeat(1, 1, heads),
        torch.cat([-sine, sine, still], dim=-1).repeat(1, 1, heads),
        partner,
    )


def _first(network: ContentNetwork) -> Layer:
    first = network.layers[0]
    assert isinstance(first, Layer)
    return first


def _convolve(convolution: nn.Conv1d, x: Tensor, stage: int) -> Tensor:
    """Return [B, F', out] of [B, F, in] as one matrix product, which few frames do faster than a convolution."""
    kernel, stride = KERNELS[stage], STRIDES[stage]
    count = (int(x.shape[1]) - kernel) // stride + 1
    places = torch.arange(count, device=x.device)[:, None] * stride + torch.arange(kernel, device=x.device)
    weight = convolution.weight.permute(2, 1, 0).flatten(0, 1)
    assert convolution.bias is not None
    return torch.matmul(x[:, places].flatten(2), weight) + convolution.bias
