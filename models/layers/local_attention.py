"""Self-attention over a bounded neighbourhood, computed in chunks so that memory grows linearly with time."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.reshaping import reshape

CHUNK = 64  # most frames that are computed together; also the furthest reach on either side
MASKED = -1e4


class AttentionPlan(NamedTuple):
    """What every layer over the same F frames needs to know: N chunks of C frames, each of which sees W frames.

    Attributes:
        queries: [N, C] int64, frame of each row; rows behind the last frame hold some frame.
        keys: [N, W] int64, frames that a chunk can see; some frame where there is none.
        mask: [N, C, W], 0 where a frame may look, a large negative number elsewhere.
        cosine: [F, 3 heads, head_dim], rotation of each frame's queries, keys and values, times their scale.
        sine: like cosine; 0 in components that do not turn.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor
    cosine: Tensor
    sine: Tensor


class LocalAttention(nn.Module):
    """Multi-head attention with rotary positions (Su et al. 2021) in which a frame sees only its neighbours.

    Args:
        channels: C of input and output.
        num_heads: heads; C must be a multiple of it.
        rotary_dim: components of each head that carry the position; even, at most C / num_heads.
        past: frames before the current one that are seen, at most 64.
        frame_angle: rotation of the fastest component from one frame to the next in radians.
    """

    def __init__(self, channels: int, *, num_heads: int, rotary_dim: int, past: int, frame_angle: float = 1.0) -> None:
        super().__init__()
        if channels % num_heads or rotary_dim % 2 or rotary_dim > channels // num_heads or past > CHUNK:
            raise ValueError(f"{channels=} {num_heads=} {rotary_dim=} {past=} do not fit together")
        head_dim = channels // num_heads
        self.num_heads, self.head_dim, self.rotary_dim, self.past = num_heads, head_dim, rotary_dim, past
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        rates = frame_angle * 10000.0 ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
        self.register_buffer("rates", rates, persistent=False)
        self.rates: Tensor
        still = torch.zeros(head_dim - rotary_dim)
        turning = torch.cat([rates, rates, still]).repeat(2 * num_heads, 1)
        turning = torch.cat([turning, torch.zeros(num_heads, head_dim)])  # values do not turn
        self.register_buffer("turning", turning, persistent=False)
        self.turning: Tensor
        scale = torch.ones(3 * num_heads, 1)
        scale[:num_heads] = 1 / math.sqrt(head_dim)
        self.register_buffer("scale", scale, persistent=False)
        self.scale: Tensor
        self.register_buffer("quarter_turn", _quarter_turn(rotary_dim, head_dim), persistent=False)
        self.quarter_turn: Tensor

    def forward(self, x: Tensor, future: int, plan: AttentionPlan | None = None) -> Tensor:
        """Return [B, F, C] from [B, F, C].

        Args:
            x: frames, F >= 1.
            future: frames after the current one that are seen, 0 to 64.
            plan: of `plan(x, future)`, when several layers share it.
        """
        plan = plan if plan is not None else self.plan(x, future)
        heads = self.num_heads
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        placed = reshape(functional.linear(x, weight), 0, -1, 3 * heads, self.head_dim)
        crossed = torch.matmul(placed, self.quarter_turn.to(placed.dtype))
        turned = placed * plan.cosine.to(placed.dtype) + crossed * plan.sine.to(placed.dtype)
        query, others = turned.transpose(1, 2).split([heads, 2 * heads], dim=1)
        key, value = others[:, :, plan.keys].split(heads, dim=1)
        scores = torch.matmul(query[:, :, plan.queries], key.transpose(-1, -2)).float() + plan.mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1).to(value.dtype), value)  # [B, heads, N, C, head_dim]
        mixed = reshape(mixed.permute(0, 2, 3, 1, 4), 0, -1, heads * self.head_dim)
        result: Tensor = self.output(mixed[:, : x.shape[1]])
        return result

    def plan(self, x: Tensor, future: int) -> AttentionPlan:
        """Return how the frames of [B, F, C] are cut into chunks; see forward."""
        frames, device = x.shape[1], x.device
        num_chunks = (frames + CHUNK - 1) // CHUNK
        size = (frames + num_chunks - 1) // num_chunks  # a short signal is one short chunk
        past = _at_most(frames, self.past)
        starts = (torch.arange(num_chunks, device=device) * size)[:, None]
        here = torch.arange(size, device=device)
        reach = torch.arange(past + size + _at_most(frames, future), device=device) - past
        keys, queries = starts + reach, starts + here
        offset = reach[None, :] - here[:, None]
        in_band = (offset >= -self.past) & (offset <= future)
        inside = keys.clamp(min=0).clamp(max=frames - 1)
        is_seen = in_band[None] & (keys == inside)[:, None]
        mask = torch.where(is_seen, self.rates.new_zeros(()), self.rates.new_full((), MASKED))
        angles = torch.arange(frames, device=device)[:, None, None] * self.turning
        cosine, sine = ((turn(angles) * self.scale).to(x.dtype) for turn in (torch.cos, torch.sin))
        return AttentionPlan(queries.clamp(max=frames - 1), inside, mask, cosine, sine)


def _quarter_turn(rotary_dim: int, head_dim: int) -> Tensor:
    """Return the matrix [head_dim, head_dim] that turns each pair (n, n + rotary_dim / 2) by a right angle."""
    half = rotary_dim // 2
    first = torch.arange(half)
    matrix = torch.zeros(head_dim, head_dim)
    matrix[first + half, first], matrix[first, first + half] = -1.0, 1.0
    return matrix


def _at_most(length: int, limit: int) -> int:
    """Return the smaller one; under tracing the length is a tensor, and what min() chose would be frozen."""
    return length.clamp(max=limit) if isinstance(length, Tensor) else min(length, limit)
