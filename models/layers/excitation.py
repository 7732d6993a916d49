"""Source signals of a source-filter voice: a band-limited pulse train and noise."""

import copy
import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.frames import FramesToSamples
from models.layers.whole_cycles import cycles_before
from utils.audio.graph_form import in_graph_parts

FALLBACK_F0_HZ = 100.0
FADE = 0.25  # of a harmonic that there is room for: from there on it is whole
MOST_BENT = 0.06  # a semitone: at most this share of its pitch a stretch is bent to end with a whole cycle
NOISE_FRAMES = 400  # 4 s; longer signals repeat the table


class PulseTrain(nn.Module):
    """Sum of all harmonics of f0 below the Nyquist frequency, with unit power while voiced and silence elsewhere.

    The phase is zero where the first frame of each voiced stretch begins, so that an error of f0 is not carried on from
    one stretch to the next.

    Args:
        sample_rate: samples per second.
        hop_length: samples per frame; even.
        closed: bend a stretch that reaches the end, by at most MOST_BENT, so that it ends with a whole cycle: where
            blocks are made by themselves, the train goes on in the next one, which begins at phase zero.
    """

    def __init__(self, sample_rate: int, hop_length: int, *, closed: bool = False) -> None:
        super().__init__()
        self.sample_rate, self.hop_length, self.closed = sample_rate, hop_length, closed
        self.sums_before = _sums_before
        self.interpolate = FramesToSamples(hop_length)
        before, after = self.interpolate.before.double(), self.interpolate.after.double()
        shares = torch.stack([before, 1 - before - after, after]) / sample_rate
        self.register_buffer("shares", shares, persistent=False)
        self.register_buffer("turns", torch.cumsum(shares, dim=1), persistent=False)
        self.register_buffer("is_late", torch.arange(hop_length) >= hop_length // 2, persistent=False)
        self.shares: Tensor
        self.turns: Tensor
        self.is_late: Tensor

    def graph_form(self) -> "PulseTrain":
        """Return the same train with sums that stay small, for runtimes that know single precision alone."""
        form = copy.copy(in_graph_parts(self))
        form.sums_before = cycles_before
        return form

    def forward(self, f0_hz: Tensor) -> Tensor:
        """Return [B, F * hop] from f0_hz [B, F] with 0 in unvoiced frames; depends on f0 alone."""
        voiced = (f0_hz > 0).to(f0_hz.dtype)
        filled = _fill_neighbours(f0_hz)
        # float64: after minutes a float32 sum of cycles has lost the phase, and two runtimes would lose it differently
        # stacked, not neighbours(): onnxruntime 1.20 cannot load a product in float64 of what was transposed
        padded = functional.pad(filled, (1, 1), mode="replicate")
        around = torch.stack([padded[:, :-2], filled, padded[:, 2:]], dim=-1).to(self.turns.dtype)
        within = torch.matmul(around, self.turns)
        rate = torch.matmul(around, self.shares)  # cycles per sample
        if self.closed:
            bend = _closing_bend(f0_hz, within[..., -1]).unsqueeze(-1)
            within, rate = within * bend, rate * bend
        phase = 2 * math.pi * self._cycles(f0_hz, within)
        kernel = sum_of_harmonics(phase, (0.49 / rate).to(f0_hz.dtype), peak=1e-5)
        level = torch.sqrt(4.0 * rate.to(f0_hz.dtype)) * self.interpolate.by_frame(voiced)
        return (kernel * level).flatten(1)

    def _cycles(self, f0_hz: Tensor, within: Tensor) -> Tensor:
        """Return the phase of each sample in cycles from -0.5 to 0.5, most exact around the pulses.

        Args:
            f0_hz: [B, F].
            within: [B, F, hop], cycles since the beginning of the frame.
        """
        begun = self.sums_before(within[..., -1])
        before, at = self._origins(f0_hz, begun)
        start, late_start = (begun - before).unsqueeze(-1), (begun - at).unsqueeze(-1)
        cycles = within + torch.where(self.is_late, late_start, start)
        return (cycles - torch.floor(cycles + 0.5)).to(f0_hz.dtype)

    @staticmethod
    def _origins(f0_hz: Tensor, begun: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the stretches begin to which the first and the second half of each frame belong, [B, F] each.

        Before a stretch comes half a frame in which it fades in; its phase counts down to the stretch's beginning.
        """
        is_voiced = f0_hz > 0
        is_onset = is_voiced & (functional.pad(f0_hz[:, :-1], (1, 0)) <= 0)
        number = torch.cumsum(is_onset.to(torch.int64), dim=1)
        # the beginning of stretch n in slot n; all other frames write to slot 0, which only frames without a pitch read
        slots = functional.pad(begun, (1, 0)).scatter(1, number * is_onset, begun)
        origin = torch.gather(slots, 1, number)
        return origin, torch.where(is_voiced, origin, _following(origin))


class FixedNoise(nn.Module):
    """White Gaussian noise of unit power from a fixed table, so that the same input gives the same output.

    Args:
        hop_length: samples per frame.
        seed: seed of the table.
    """

    def __init__(self, hop_length: int, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("table", torch.randn(NOISE_FRAMES, hop_length, generator=generator), persistent=False)
        self.table: Tensor

    def forward(self, like: Tensor) -> Tensor:
        """Return [B, F * hop] for a tensor [B, F]; every item of the batch gets the same noise."""
        return self.row(like).expand(like.shape[0], -1)

    def row(self, like: Tensor) -> Tensor:
        """Return [1, F * hop], what every item gets, for a tensor [B, F]."""
        index = torch.arange(like.shape[1], device=like.device)
        return self.table[torch.remainder(index, NOISE_FRAMES)].reshape(1, -1)


def sum_of_harmonics(phase: Tensor, count: Tensor, *, peak: float) -> Tensor:
    """Return sum_k cos(k phase) over k = 1 .. count; the last one fades in over the first part of count's fraction.

    A gliding pitch would switch its highest harmonic on or off at one sample, and the rounding of the last bit of f0
    would decide at which. In closed form (Dirichlet's kernel), with K harmonics: sum_k cos(k p) = sin((K + 1/2) p) /
    (2 sin(p / 2)) - 1/2.

    Args:
        phase: in radians.
        count: how many harmonics there is room for, at least 1, of the shape of phase.
        peak: where the sine of half the phase is smaller, the sum is its limit.
    """
    last = torch.floor(count)
    share = ((count - last) / FADE).clamp(max=1.0)
    half = torch.sin(0.5 * phase)
    is_peak = half.abs() < peak
    full = torch.sin((last - 0.5) * phase) / (2 * torch.where(is_peak, half.new_ones(()), half)) - 0.5
    return torch.where(is_peak, last - 1 + share, full + share * torch.cos(last * phase))


def _closing_bend(f0_hz: Tensor, cycles: Tensor) -> Tensor:
    """Return the factors [B, F] of pitch by which a stretch that reaches the end gets a whole number of cycles.

    Args:
        f0_hz: [B, F].
        cycles: [B, F], of each frame.
    """
    unvoiced = (f0_hz <= 0).to(torch.int64)
    is_last = (torch.cumsum(unvoiced, dim=1) == unvoiced.sum(dim=1, keepdim=True)) & (f0_hz > 0)
    share = is_last.to(cycles.dtype)
    total = (cycles * share).sum(dim=1, keepdim=True).clamp(min=1e-3)
    bend = torch.floor(total + 0.5).clamp(min=1.0) / total
    return 1.0 + share * (bend.clamp(1.0 - MOST_BENT, 1.0 + MOST_BENT) - 1.0)


def _sums_before(cycles: Tensor) -> Tensor:
    """Return the sum of [B, F] before each frame."""
    return torch.cumsum(cycles, dim=1) - cycles


def _following(values: Tensor) -> Tensor:
    """Return what each frame of [B, F] has behind it, the last one itself."""
    return torch.cat([values[:, 1:], values[:, -1:]], dim=1)


def _fill_neighbours(f0_hz: Tensor) -> Tensor:
    """Give unvoiced frames beside voiced ones their neighbour's pitch, so that none sweeps to zero."""
    padded = functional.pad(f0_hz, (1, 1), mode="replicate")
    previous, following = padded[:, :-2], padded[:, 2:]
    filled = torch.where(f0_hz > 0, f0_hz, torch.where(previous > 0, previous, following))
    return torch.where(filled > 0, filled, filled.new_full((), FALLBACK_F0_HZ))
