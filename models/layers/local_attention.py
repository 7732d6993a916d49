"""Self-attention over a bounded neighbourhood, computed in chunks so that memory grows linearly with time."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

CHUNK = 64  # most frames that are computed together; also the furthest reach on either side
MASKED = -1e4


class AttentionPlan(NamedTuple):
    """What every layer over the same F frames needs to know: N chunks of C frames, each of which sees W frames.

    Attributes:
        queries: [N, C] int64, frame at each place; places behind the last frame hold the first.
        keys: [N, W] int64, frames that a chunk can see; places outside the signal hold some frame.
        mask: [N, C, W], 0 where a frame may look, a large negative number elsewhere.
        cosine: [F, 1, head_dim], rotation of each frame.
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
        self.num_heads, self.head_dim, self.rotary_dim, self.past = num_heads, channels // num_heads, rotary_dim, past
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        rates = frame_angle * 10000.0 ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
        self.register_buffer("rates", rates, persistent=False)
        self.rates: Tensor
        self.register_buffer("quarter_turn", _quarter_turn(rotary_dim, self.head_dim), persistent=False)
        self.quarter_turn: Tensor

    def forward(self, x: Tensor, future: int, plan: AttentionPlan | None = None) -> Tensor:
        """Return [B, F, C] from [B, F, C].

        Args:
            x: frames, F >= 1.
            future: frames after the current one that are seen, 0 to 64.
            plan: of `plan(x, future)`, when several layers share it.
        """
        batch, frames = x.shape[:2]
        plan = plan if plan is not None else self.plan(x, future)
        turned = functional.linear(x, torch.cat([self.query.weight, self.key.weight]))
        turned = turned.reshape(batch, frames, 2 * self.num_heads, self.head_dim)
        crossed = torch.matmul(turned, self.quarter_turn.to(turned.dtype))
        turned = turned * plan.cosine.to(turned.dtype) + crossed * plan.sine.to(turned.dtype)
        query, key = turned.transpose(1, 2).split(self.num_heads, dim=1)
        value = self.value(x).reshape(batch, frames, self.num_heads, self.head_dim).transpose(1, 2)
        query, key, value = query[:, :, plan.queries], key[:, :, plan.keys], value[:, :, plan.keys]
        scores = torch.matmul(query, key.transpose(-1, -2)).float() / math.sqrt(self.head_dim) + plan.mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1).to(value.dtype), value)  # [B, heads, N, C, head_dim]
        mixed = mixed.permute(0, 2, 3, 1, 4).reshape(batch, -1, self.num_heads * self.head_dim)
        return self.output(mixed[:, :frames])

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
        is_real = (keys >= 0) & (keys < frames)
        mask = (~(in_band[None] & is_real[:, None])).to(torch.float32) * MASKED
        angles = torch.arange(frames, device=device)[:, None] * self.rates
        still = torch.zeros_like(angles[:, :1]).expand(-1, self.head_dim - self.rotary_dim)
        angles = torch.cat([angles, angles, still], dim=1).unsqueeze(1)
        is_queried = queries < frames
        return AttentionPlan(
            queries * is_queried, keys * is_real, mask, torch.cos(angles).to(x.dtype), torch.sin(angles).to(x.dtype)
        )


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
