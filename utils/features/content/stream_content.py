"""The built-in content encoder for streams: the features of look_ahead=short, block by block.

All is rows of numbers [F, C], for which an exported graph needs the fewest operators.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.local_attention import MASKED, LocalAttention
from models.layers.stream_memory import Memory
from utils.features.content.base import normalize_content
from utils.features.content.network import KERNELS, PAD_LEFT, PAD_RIGHT, STRIDES, ContentNetwork, Layer

HISTORY = PAD_LEFT + PAD_RIGHT  # samples before a block that its first frame reads
HOP = math.prod(STRIDES)


class StreamContent(nn.Module):
    """Features of frames of 20 ms that end 14 ms before the newest sample.

    Args:
        network: the encoder's.
    """

    def __init__(self, network: ContentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: Tensor, memory: Memory) -> Tensor:
        """Return features [1, F / 2, D] of the next F * 160 samples at 16 kHz, [1, F * 160]; F is even."""
        return self.read(memory.extend("content.audio", audio, HISTORY), int(audio.shape[1]), memory)

    def read(self, longer: Tensor, samples: int, memory: Memory) -> Tensor:
        """Return what forward returns of the last samples of [1, T], of which HISTORY or more lie before them."""
        network = self.network
        x = self._stem(longer, samples // HOP)
        attention = _first(network).attention
        plan = _plan(x, attention, memory)
        for index, layer in enumerate(network.layers):
            assert isinstance(layer, Layer)
            x = attend(layer, x, plan, memory, f"content.layer{index}")
            hidden = functional.gelu(layer.expand(layer.norm(x)))
            x = torch.addmm(x, hidden, layer.project.weight.T) + layer.project.bias
        features: Tensor = network.head(network.norm(x))
        return normalize_content(features).unsqueeze(0)

    def _stem(self, longer: Tensor, frames: int) -> Tensor:
        """Return [frames, C] of what stands before the attention."""
        network, counts = self.network, [frames]
        for stage in (2, 1):
            counts.insert(0, (counts[0] - 1) * STRIDES[stage] + KERNELS[stage])
        first = int(longer.shape[1]) - HISTORY - frames * HOP
        seen = longer[0, first + _offsets(counts[0], 0).to(longer.device)]
        x = torch.tanh(torch.matmul(seen, network.filters.weight.squeeze(1).T))
        for stage, convolution in ((1, network.widen), (2, network.narrow)):
            count, kernel = counts[stage], KERNELS[stage]
            offsets = _offsets(count, stage).to(x.device)
            taken = x if count == 1 and kernel == counts[stage - 1] else x[offsets]
            weight = convolution.weight.permute(2, 1, 0).flatten(0, 1)
            assert convolution.bias is not None
            x = functional.gelu(torch.addmm(convolution.bias, taken.reshape(count, -1), weight))
        return x


class AttentionPlan(NamedTuple):
    """What all layers share for the next F frames.

    Keys and values of the frames before stand in a ring of R rows; their order does not matter, as each carries its
    position.

    Attributes:
        order: [2, 3 C] int64, components of values, keys and queries side by side; then those that they turn with.
        turns: [F, 2, 3 C], factors of these: cosine and signed sine of the position, 1 and 0 for what does not turn.
        bias: added to the scores [F * heads, R]: 0 where a frame may look, else very low.
        slots: [F, 1] int64, the rows of the ring that the frames take.
        length: R.
    """

    order: Tensor
    turns: Tensor
    bias: Tensor
    slots: Tensor
    length: int


def attend(layer: Layer, x: Tensor, plan: AttentionPlan, memory: Memory, name: str) -> Tensor:
    """Return [F, C] plus what the layer's attention makes of it without a look at the future.

    Heads are not taken apart: a query of one head is zero elsewhere, which for few frames is faster.
    """
    attention = layer.attention
    channels, heads, frames = attention.num_heads * attention.head_dim, attention.num_heads, int(x.shape[0])
    query_weight = attention.query.weight / math.sqrt(attention.head_dim)
    weight = torch.cat([attention.value.weight, attention.key.weight, query_weight])
    placed = functional.linear(layer.attention_norm(x), weight)
    value, key, query = (placed[:, plan.order] * plan.turns).sum(dim=1).split(channels, dim=-1)
    rings = []
    for kind, new in (("key", key), ("value", value)):
        rings.append(write_rows(memory.recall_rows(f"{name}.{kind}", (plan.length, channels), x), plan.slots, new))
        memory.keep_rows(rings[-1])
    keys, values = (key, value) if memory.is_fresh else rings  # a fresh ring holds nothing else
    head = torch.arange(channels, device=x.device) // attention.head_dim
    own = (head == torch.arange(heads, device=x.device)[:, None]).to(x.dtype)  # [heads, C]
    queries = query * own if frames == 1 else (query.unsqueeze(1) * own).flatten(0, 1)
    scores = torch.addmm(plan.bias, queries, keys.T)
    mixed = torch.matmul(torch.softmax(scores, dim=-1), values)  # [F * heads, C]
    taken = torch.gather(mixed, 0, torch.arange(frames, device=x.device)[:, None] * heads + head)
    return torch.addmm(x, taken, attention.output.weight.T)


def _plan(x: Tensor, attention: LocalAttention, memory: Memory) -> AttentionPlan:
    """Return what the layers share for the frames [F, C]."""
    frames, device = int(x.shape[0]), x.device
    blocks = math.ceil(attention.past / frames) + 1
    position = memory.recall_rows("content.position", (1, 1), x)
    memory.keep_rows(torch.fmod(position + 1, blocks))
    slots = (position if frames == 1 else position * frames + torch.arange(frames, device=device)[:, None]).to(
        torch.int64
    )
    length = blocks * frames
    seen = memory.recall_rows("content.seen", (length,), x)  # 0 in rows of the ring that nothing was written to
    seen = write_rows(seen, slots, torch.full((frames,), -MASKED, dtype=x.dtype, device=device))
    memory.keep_rows(seen)
    number = torch.arange(frames, device=device)
    if memory.is_fresh:
        bias = _band(number - number[:, None], attention)
    elif frames == 1:
        bias = seen + MASKED
    else:
        newer = torch.arange(blocks, device=device)[:, None] - torch.arange(blocks, device=device)
        offset = number - torch.remainder(newer, blocks)[:, None, :, None] * frames - number[:, None, None]
        bands = _band(offset.flatten(2), attention)  # [blocks, F, R]
        bias = bands[position.to(torch.int64)[0, 0]] + (seen + MASKED)
    bias = bias if frames == 1 else bias.repeat_interleave(attention.num_heads, dim=0)
    return AttentionPlan(*_turns(x, attention, memory), bias, slots, length)


def _band(offset: Tensor, attention: LocalAttention) -> Tensor:
    """Return 0 where an offset in frames is one that may be seen, else a very low number."""
    return torch.where((offset >= -attention.past) & (offset <= 0), 0.0, MASKED).to(attention.rates.dtype)


def _turns(x: Tensor, attention: LocalAttention, memory: Memory) -> tuple[Tensor, Tensor]:
    """Return order and turns of a plan. Only the angle between two frames matters, so the angle of now is kept."""
    half, size, heads = attention.rotary_dim // 2, attention.head_dim, attention.num_heads
    rates = functional.pad(attention.rates.double(), (0, 1)).repeat(3)  # the last does not turn
    steps = torch.arange(1, int(x.shape[0]) + 1, device=x.device)[:, None] * rates
    angles = memory.recall("content.angle", (len(rates),), x[None]) + torch.remainder(steps, 2 * math.pi).to(x.dtype)
    angles = torch.fmod(angles, 2 * math.pi)
    memory.keep(angles[-1:])
    quarter = math.pi / 2 * torch.tensor([0.0, 1.0, -1.0], device=x.device).repeat_interleave(half + 1)
    waves = torch.cos(angles + quarter)  # cosine, minus sine and sine of each
    position = torch.arange(size, device=x.device)
    wave = torch.where(position < 2 * half, position % max(half, 1), half)
    sign = 1 + (position >= half).to(torch.int64)
    partner = position + half * (
        (position < half).to(torch.int64) - ((position >= half) & (position < 2 * half)).to(torch.int64)
    )
    taken = torch.stack([wave, wave + sign * (half + 1)]).repeat(1, 2 * heads)
    still = torch.tensor([[half], [2 * half + 1]], device=x.device).expand(2, heads * size)
    order = torch.arange(3 * heads, device=x.device)[:, None] * size + torch.stack([position, partner])[:, None]
    return order.flatten(1), waves[:, torch.cat([still, taken], dim=1)]


def _offsets(count: int, stage: int) -> Tensor:
    """Return [count, kernel], what each position of a convolution of the stem reads."""
    return torch.arange(count)[:, None] * STRIDES[stage] + torch.arange(KERNELS[stage])


def _first(network: ContentNetwork) -> Layer:
    first = network.layers[0]
    assert isinstance(first, Layer)
    return first


class _WriteRows(torch.autograd.Function):
    """Replace rows, as the operator ScatterND does."""

    @staticmethod
    def forward(context: Any, rows: Tensor, indices: Tensor, new: Tensor) -> Tensor:
        written = rows.clone()
        written[indices[:, 0]] = new
        return written

    @staticmethod
    def symbolic(graph: Any, rows: Any, indices: Any, new: Any) -> Any:
        return graph.op("ScatterND", rows, indices, new)


def write_rows(rows: Tensor, indices: Tensor, new: Tensor) -> Tensor:
    """Return [R, ...] with the rows at [F, 1] replaced by [F, ...]."""
    written: Tensor = _WriteRows.apply(rows, indices, new)
    return written
