"""Self-attention over a bounded neighbourhood, computed in chunks so that memory grows linearly with time."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

CHUNK = 64  # frames that are computed together; also the furthest reach on either side
MASKED = -1e4


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

    def forward(self, x: Tensor, future: int) -> Tensor:
        """Return [B, F, C] from [B, F, C].

        Args:
            x: frames, F >= 1.
            future: frames after the current one that are seen, 0 to 64.
        """
        batch, frames = x.shape[:2]
        cosine, sine = self._rotation(x)
        query = self._chunks(self._rotate(self._heads(self.query(x)), cosine, sine))
        key = self._windows(self._rotate(self._heads(self.key(x)), cosine, sine), future)
        value = self._windows(self._heads(self.value(x)), future)
        is_real = self._windows(torch.ones_like(x[:1, :, :1]).unsqueeze(1), future).transpose(-1, -2)  # [1,1,N,1,W]
        scores = torch.matmul(query, key.transpose(-1, -2)).float() / math.sqrt(self.head_dim)
        scores = scores + (1 - is_real * self._band(future, x.device)) * MASKED
        mixed = torch.matmul(torch.softmax(scores, dim=-1).to(value.dtype), value)  # [B, heads, N, 64, head_dim]
        mixed = mixed.reshape(batch, self.num_heads, -1, self.head_dim)[:, :, :frames]
        return self.output(mixed.transpose(1, 2).reshape(batch, frames, -1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def _rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of every frame's angles, each [F, rotary_dim], the halves alike."""
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * self.rates
        angles = torch.cat([angles, angles], dim=1)
        return torch.cos(angles).to(x.dtype), torch.sin(angles).to(x.dtype)

    def _rotate(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Turn the pairs (n, n + rotary_dim / 2) of [B, heads, F, head_dim] by their angles."""
        half = self.rotary_dim // 2
        turned, crossed = x[..., : 2 * half], torch.cat([-x[..., half : 2 * half], x[..., :half]], dim=-1)
        return torch.cat([turned * cosine + crossed * sine, x[..., 2 * half :]], dim=-1)

    @staticmethod
    def _chunks(x: Tensor) -> Tensor:
        """Cut [B, heads, F, D] into [B, heads, N, 64, D]; zeros fill the last chunk."""
        missing = (CHUNK - x.shape[2] % CHUNK) % CHUNK
        padded = functional.pad(x, (0, 0, 0, missing))
        return padded.reshape(x.shape[0], x.shape[1], -1, CHUNK, x.shape[3])

    def _windows(self, x: Tensor, future: int) -> Tensor:
        """Return what each chunk can see, [B, heads, N, 64 + 64 + future, D]; zeros outside."""
        chunks = self._chunks(x)
        silence = torch.zeros_like(chunks[:, :, :1])
        before = torch.cat([silence, chunks[:, :, :-1]], dim=2)
        after = torch.cat([chunks[:, :, 1:], silence], dim=2)
        return torch.cat([before, chunks, after[:, :, :, :future]], dim=3)

    def _band(self, future: int, device: torch.device) -> Tensor:
        """Return 1 where a frame of a chunk may look, [64, 64 + 64 + future]."""
        here = torch.arange(CHUNK, device=device)[:, None]
        offset = torch.arange(2 * CHUNK + future, device=device)[None] - CHUNK - here
        return ((offset >= -self.past) & (offset <= future)).float()
