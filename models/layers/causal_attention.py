"""Attention of each frame to itself and those before it, in blocks of frames so that memory grows with the length."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

BLOCK_FRAMES = 512


def attend_to_the_past(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    """Return what each frame collects; written in words that a script knows, too.

    Args:
        query: [B, H, F, N], scaled.
        key: [B, H, F, N].
        value: [B, H, F, N].
        block: frames whose scores exist at a time.
    Returns:
        [B, H, F, N].
    """
    result = query[:, :, :0]
    for index in range((query.size(2) + block - 1) // block):
        start = index * block
        part = query[:, :, start : start + block]
        end = start + part.size(2)
        scores = torch.matmul(part, key[:, :, :end].transpose(2, 3))
        frames = torch.arange(end, device=query.device)
        later = frames.unsqueeze(0) > frames[start:].unsqueeze(1)
        share = torch.softmax(scores.masked_fill(later, -1e4), dim=-1)
        result = torch.cat([result, torch.matmul(share, value[:, :, :end])], dim=2)
    return result


class CausalAttention(nn.Module):
    """Self-attention of each frame to itself and those before it.

    Args:
        channels: C.
        num_heads: attention heads.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.size = num_heads, channels // num_heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        for layer in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        return self.by(attend_to_the_past, x)

    def by(self, attend: Callable[[Tensor, Tensor, Tensor, int], Tensor], x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F] by attend_to_the_past or what does the same."""
        made = (layer(x) for layer in (self.conv_q, self.conv_k, self.conv_v))
        query, key, value = (y.reshape(x.shape[0], self.num_heads, self.size, -1).transpose(2, 3) for y in made)
        result = attend(query / math.sqrt(self.size), key, value, BLOCK_FRAMES)
        output: Tensor = self.conv_o(result.transpose(2, 3).reshape(x.shape))
        return output

    def graph_form(self) -> "CausalAttentionInGraph":
        """Return the same as a Loop of the graph, whose length is not fixed by the trace."""
        return CausalAttentionInGraph(self)


class CausalAttentionInGraph(nn.Module):
    """CausalAttention for a traced graph, in which only a script's loop is a loop.

    Args:
        layer: whose weights are used.
    """

    def __init__(self, layer: CausalAttention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        return self.layer.by(_script(), x)


@cache
def _script() -> Any:
    return torch.jit.script(attend_to_the_past)
