"""Shift of the pitch from the median of what is fed to that of the target voice, by whole steps."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.stream_memory import Memory
from utils.voice_file.controls import find_control

LOWEST_HZ = 32.7  # C1
NUM_BINS, BIN_SEMITONES = 144, 0.5  # six octaves
LEAST_FRAMES = 50.0  # half a second of voice: with less a median means little, and blocks of 100 ms keep their pitch
LEAST_SHARE = 0.05  # of the frames
LEAST_INSIDE = 1e-3
MEMORY_SECONDS = 30.0  # of a stream: what is older counts for less than a third
UNIT_SECONDS = 0.02
GLIDE_SECONDS = 0.05
MARGIN_SEMITONES = 0.25  # beyond the middle between two steps before a stream takes the other one


class AutomaticPitch(nn.Module):
    """Chooses the shift of a recording.

    Args:
        medians_hz: of each speaker; 0 where it is not known, who is not shifted.
        step: semitones of which a shift is a multiple; 12 keeps a song in its key.
    """

    def __init__(self, medians_hz: Sequence[float], step: int) -> None:
        super().__init__()
        self.step = step
        targets = [12 * math.log2(median / LOWEST_HZ) if median > 0 else -1.0 for median in medians_hz]
        edges = BIN_SEMITONES * (1 + torch.arange(NUM_BINS, dtype=torch.float32))
        self.register_buffer("targets", torch.tensor(targets), persistent=False)
        self.register_buffer("edges", edges, persistent=False)
        self.targets: Tensor
        self.edges: Tensor

    def forward(self, f0_hz: Tensor, speaker_id: Tensor) -> Tensor:
        """Return semitones [B, 1] for f0_hz [B, F], 0 in unvoiced frames, and speaker_id [B]."""
        below = self.counted(f0_hz)
        is_voice = below[:, -1:] >= LEAST_SHARE * torch.ones_like(f0_hz).sum(dim=1, keepdim=True)
        wanted, is_known = self.wanted(below, speaker_id)
        return torch.where(is_known & is_voice, self.rounded(wanted), torch.zeros_like(wanted))

    def counted(self, f0_hz: Tensor) -> Tensor:
        """Return [B, NUM_BINS]: how many voiced frames of [B, F] are below each edge; all of them below the last."""
        height = 12 * torch.log2(f0_hz.clamp(min=1.0) / LOWEST_HZ)
        height = height.clamp(0.0, NUM_BINS * BIN_SEMITONES - 0.01)
        voiced = (f0_hz > 0).to(f0_hz.dtype)
        return ((height.unsqueeze(-1) < self.edges).to(f0_hz.dtype) * voiced.unsqueeze(-1)).sum(dim=1)

    def wanted(self, below: Tensor, speaker_id: Tensor) -> tuple[Tensor, Tensor]:
        """Return semitones [B, 1] from the median to the target's, not rounded, and whether both are known."""
        total = below[:, -1:]
        before = functional.pad(below[:, :-1], (1, 0))
        # the bins below the median count whole, that of the median by its share
        shares = ((0.5 * total - before) / (below - before).clamp(min=LEAST_INSIDE)).clamp(0.0, 1.0)
        median = BIN_SEMITONES * shares.sum(dim=1, keepdim=True)
        target = self.targets[speaker_id].unsqueeze(1)
        return target - median, (total >= LEAST_FRAMES) & (target >= 0)

    def rounded(self, semitones: Tensor) -> Tensor:
        """Return the nearest whole steps within what pitch_shift may be."""
        control = find_control("pitch_shift")
        return (self.step * torch.round(semitones / self.step)).clamp(control.low, control.high)


class StreamAutomaticPitch(nn.Module):
    """Chooses the shift of a stream from what was heard so far, and glides to another one.

    Args:
        pitch: of recordings.
    """

    def __init__(self, pitch: AutomaticPitch) -> None:
        super().__init__()
        self.pitch = pitch
        self.kept = math.exp(-UNIT_SECONDS / MEMORY_SECONDS)
        self.moved = 1 - math.exp(-UNIT_SECONDS / GLIDE_SECONDS)

    def forward(self, f0_hz: Tensor, speaker_id: Tensor, memory: Memory) -> Tensor:
        """Return semitones [1, F] for the next f0_hz [1, F], F even, and speaker_id [1]."""
        below = memory.recall("automatic_pitch.below", (NUM_BINS,), f0_hz)
        held, shift = memory.recall("automatic_pitch.shift", (2,), f0_hz).split(1, dim=1)
        shifts = []
        for unit in f0_hz.split(2, dim=1):
            below = self.kept * below + self.pitch.counted(unit)
            wanted, is_known = self.pitch.wanted(below, speaker_id)
            is_far = (wanted - held).abs() > 0.5 * self.pitch.step + MARGIN_SEMITONES
            held = torch.where(is_known & is_far, self.pitch.rounded(wanted), held)
            shift = shift + self.moved * (held - shift)
            shifts.append(shift.expand(-1, 2))
        memory.keep(below)
        memory.keep(torch.cat([held, shift], dim=1))
        return torch.cat(shifts, dim=1)
