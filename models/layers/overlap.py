"""Analysis and synthesis windows of little delay: long for the past, short where frames overlap.

Long asymmetric analysis windows beside short synthesis windows: Mauler and Martin 2007.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.fourier import RealFourier
from models.layers.stream_memory import Memory, overlapping_frames

OVERLAP = 0.8  # of a hop


class LowDelayTransform(nn.Module):
    """Short-time Fourier transform of a stream and its inverse, exact where nothing is changed in between.

    A frame's pieces of output are hop_length + overlap samples; they fade in and out over `overlap` and add up
    to 1. The analysis window ends with the piece and reaches n_fft samples back.

    Args:
        n_fft: samples of an analysis window, at least 2 * hop_length.
        hop_length: samples between frames.
    """

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        if n_fft < 2 * hop_length:
            raise ValueError(f"n_fft {n_fft} must be at least twice the hop_length {hop_length}")
        self.n_fft, self.hop_length = n_fft, hop_length
        self.overlap = 2 * round(OVERLAP * hop_length / 2)
        self.piece = hop_length + self.overlap
        self.fourier = RealFourier(n_fft)
        fade = torch.sin(0.5 * math.pi * (torch.arange(self.overlap, dtype=torch.float64) + 0.5) / self.overlap)
        rise = n_fft - self.piece
        slow = torch.sin(0.5 * math.pi * (torch.arange(rise, dtype=torch.float64) + 0.5) / rise)
        analysis = torch.cat([slow, torch.ones(hop_length, dtype=torch.float64), fade.flip(0)])
        synthesis = torch.cat([fade.square(), torch.ones(hop_length - self.overlap, dtype=torch.float64), fade.flip(0)])
        self.register_buffer("analysis", analysis.float(), persistent=False)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)
        self.analysis: Tensor
        self.synthesis: Tensor

    def forward(self, audio: Tensor, memory: Memory, name: str) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, [..., F, n_fft / 2 + 1], of the next F * hop_length samples [..., T]."""
        longer = memory.extend(name, audio, self.n_fft - self.hop_length, axis=audio.dim() - 1)
        frames = overlapping_frames(longer, self.n_fft, self.hop_length)
        spectrum: tuple[Tensor, Tensor] = self.fourier(frames * self.analysis)
        return spectrum

    def pieces(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return the windowed pieces of output [B, F, hop_length + overlap] of a spectrum [B, F, n_fft / 2 + 1]."""
        return self.fourier.inverse(real, imaginary, self.n_fft - self.piece) * self.synthesis

    def add(self, pieces: Tensor, memory: Memory) -> Tensor:
        """Return the next [B, F * hop_length] samples; a frame's piece begins with the samples of its own hop."""
        tails = memory.extend("synthesis.tail", pieces[..., self.hop_length :], 1)[:, :-1]
        faded = functional.pad(tails, (0, self.hop_length - self.overlap))
        return (pieces[..., : self.hop_length] + faded).flatten(1)
