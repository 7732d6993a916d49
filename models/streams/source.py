"""The source signals of a voice as a stream: what excitation.py makes of a whole recording, made of the past alone."""

import math

import torch
from torch import Tensor, nn

from models.layers.excitation import FALLBACK_F0_HZ, FixedNoise, sum_of_harmonics
from models.layers.stream_memory import Memory
from models.layers.widest_float import widest_float

GLIDE = 0.5  # of a frame: then the new pitch is reached


class StreamPulses(nn.Module):
    """Band-limited pulses whose pitch glides to that of the newest frame and stays there.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        share = ((torch.arange(hop_length) + 0.5) / (GLIDE * hop_length)).clamp(max=1.0)
        self.register_buffer("share", share, persistent=False)
        self.share: Tensor

    def forward(self, f0_hz: Tensor, memory: Memory) -> Tensor:
        """Return the next [B, F * hop] of f0_hz [B, F] with 0 in unvoiced frames."""
        before = memory.extend("pulses.f0", f0_hz, 1)[:, :-1]
        held = torch.where(before > 0, before, torch.full_like(before, FALLBACK_F0_HZ))
        target = torch.where(f0_hz > 0, f0_hz, held)
        origin = torch.where(before > 0, before, target)
        frequency = origin.unsqueeze(-1) + (target - origin).unsqueeze(-1) * self.share
        cycles = frequency / self.sample_rate
        turns = self._turns(cycles, before > 0, memory)
        phase = 2 * math.pi * turns
        kernel = sum_of_harmonics(phase, 0.49 * self.sample_rate / frequency, peak=1e-4)
        was, now = (before > 0).to(cycles.dtype).unsqueeze(-1), (f0_hz > 0).to(cycles.dtype).unsqueeze(-1)
        return (kernel * torch.sqrt(4.0 * cycles) * (was + (now - was) * self.share)).flatten(1)

    @staticmethod
    def _turns(cycles: Tensor, goes_on: Tensor, memory: Memory) -> Tensor:
        """Return the phase in turns, 0 to 1, at each sample [B, F, hop].

        It begins anew with a voice (where `goes_on` [B, F] is false), so that rounding does not add up for ever, and
        passes from block to block as two numbers, in double precision.
        """
        wide = widest_float(cycles.device)
        phase = memory.recall("pulses.phase", (2,), cycles).to(wide).sum(dim=1, keepdim=True)
        within = torch.cumsum(cycles.to(wide), dim=-1)
        goes_on, ends = goes_on.to(phase.dtype), within[..., -1]
        starts = []
        for frame in range(int(cycles.shape[1])):
            starts.append(phase * goes_on[:, frame : frame + 1])
            phase = starts[-1] + ends[:, frame : frame + 1]
        phase = phase - torch.floor(phase)
        coarse = phase.float()
        memory.keep(torch.cat([coarse, (phase - coarse.to(wide)).float()], dim=1).to(cycles.dtype))
        turns = within + torch.cat(starts, dim=1).unsqueeze(-1)
        return (turns - torch.floor(turns)).to(cycles.dtype)


class StreamNoise(nn.Module):
    """The frames of FixedNoise one after the other.

    Args:
        noise: whose table is used.
    """

    def __init__(self, noise: FixedNoise) -> None:
        super().__init__()
        self.register_buffer("table", noise.table, persistent=False)
        self.table: Tensor

    def forward(self, like: Tensor, memory: Memory) -> Tensor:
        """Return the next [B, F * hop] for a tensor [B, F]."""
        position = memory.recall("noise.position", (1,), like)
        index = position + torch.arange(int(like.shape[1]), device=like.device)
        length = float(self.table.shape[0])
        following = position + int(like.shape[1])
        memory.keep(following - length * torch.floor(following / length))
        return self.table[(index - length * torch.floor(index / length)).to(torch.int64)].flatten(1)
