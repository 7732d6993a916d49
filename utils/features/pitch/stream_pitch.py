"""The default pitch tracker for streams: SwiftF0's network with nothing but its past.

The network looks 60 ms ahead and half of its longest window is 64 ms. Here windows are cut at the newest sample, and
convolutions over time see the past alone. Their weights were trained for minutes to give what the tracker with all its
look-ahead gives (recipes/stream_pitch), starting from that tracker's, with what it read of later frames
folded onto the newest one.
"""

import math
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.fourier import RealFourier
from models.layers.stream_memory import Memory
from utils.audio.frames import FEATURE_HOP
from utils.features.content.builtin import WEIGHTS_FOLDER, read_weights
from utils.features.pitch.base import MAX_F0_HZ, MIN_F0_HZ
from utils.features.pitch.network import (
    BLOCK_STARTS,
    DILATIONS,
    HINT,
    LAST_BLOCK,
    LAST_REACH,
    NUM_CANDIDATES,
    NUM_FREQUENCIES,
    NUM_LAYERS,
    READER,
    SCORE,
    VOICE,
    VOICING,
    hint_and_scores,
    widened,
)
from utils.features.pitch.refinement import WINDOW as SHORT_WINDOW
from utils.features.pitch.refinement import refinement_windows
from utils.features.pitch.swift import SILENCE_PEAK, WINDOWS, SwiftPitch
from utils.files import sha256_of_file

LOOK_AHEAD = 224  # samples at 16 kHz after the end of a frame
WEIGHTS = WEIGHTS_FOLDER / "pitch_stream.safetensors"
TAPS = 3  # frames that a convolution over time reads, the newest included
AFTER_CENTRE = LOOK_AHEAD + FEATURE_HOP // 2
HISTORY = max(WINDOWS) // 2 + AFTER_CENTRE - FEATURE_HOP  # samples before a block that its first frame reads


class StreamPitch(nn.Module):
    """Pitch and voicing of frames that end 14 ms before the newest sample.

    Args:
        tracker: the tracker with all its look-ahead: its settings, tables and refinement are used.
        weights: the trained network; None starts from the tracker's.
    """

    def __init__(self, tracker: SwiftPitch, weights: Path | None = WEIGHTS) -> None:
        super().__init__()
        self.voicing_threshold = tracker.voicing_threshold
        self.tracker = tracker
        self.fouriers = nn.ModuleList(RealFourier(window) for window in WINDOWS)
        for index, window in enumerate(WINDOWS):
            self._store(f"window_{index}", torch.hann_window(window)[: _span(window)])
            axis = tracker.get_buffer(f"axis_{index}")[: window // 2 + 1]
            self._store(f"axis_{index}", self._fourier(index).rows_from_bins(axis))
        self._store("slope", refinement_windows()[1].float())
        self._store("signs", torch.tensor([[1.0], [-1.0]]))
        stored = folded_weights(tracker) if weights is None else read_weights(weights)[1]
        self.weights_sha256 = None if weights is None else sha256_of_file(weights)
        self.weights = nn.ParameterDict({name: nn.Parameter(value.float()) for name, value in stored.items()})

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {
            "id": "swift_f0_stream",
            "version": 1,
            "weights_sha256": self.weights_sha256,
            "voicing_threshold": self.voicing_threshold,
            "tracker": self.tracker.identity,  # whose tables and refinement it uses
        }

    def forward(self, audio: Tensor, memory: Memory | None = None) -> Tensor:
        """Return f0 in Hz [B, F], 0 where unvoiced, of the next F * 160 samples at 16 kHz, [B, F * 160].

        Args:
            audio: the next samples.
            memory: of the stream; None: all of a recording.
        """
        memory = memory or Memory()
        return self.read(memory.extend("pitch.audio", audio, HISTORY), memory)

    def read(self, longer: Tensor, memory: Memory) -> Tensor:
        """Return what forward returns of the last samples of [B, HISTORY + F * 160]."""
        maps, fields = self._analyse(longer)
        scores, voicing = self.network(maps, memory)
        coarse_hz = self.tracker._decode(scores).reshape(-1, 1)
        f0_hz = self.tracker.refinement.refine(coarse_hz, fields).reshape(voicing.shape)
        is_sound = _frames(longer, SHORT_WINDOW).abs().amax(dim=-1) >= SILENCE_PEAK
        voiced = (voicing >= math.log(self.voicing_threshold / (1 - self.voicing_threshold))) & is_sound
        voiced = voiced & (f0_hz == f0_hz.clamp(MIN_F0_HZ, MAX_F0_HZ))
        return torch.where(voiced, f0_hz, f0_hz.new_zeros(()))

    def spectra(self, audio: Tensor) -> Tensor:
        """Return [B, 3, F, 128], what the network reads, of audio [B, HISTORY + F * 160]."""
        return self._analyse(audio)[0]

    def _analyse(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network reads, [B, 3, F, 128], and what the refinement reads, [B * F, 2 K]."""
        axes = []
        for index in (0, 1):
            parts = self._fourier(index).by_row(self._cut(audio, index, self.get_buffer(f"window_{index}")))
            axes.append(self._on_axis(torch.linalg.vector_norm(_halves(parts), dim=-2), index))
        windows = torch.stack([self.get_buffer("window_2"), self.get_buffer("slope")])
        both = _halves(self._fourier(2).by_row(self._cut(audio, 2, windows)))  # [B, F, 2, P, 2, H]
        # turned by a right angle under the derivative: the sum of products is the turning of the phase
        plain, slope = both[:, :, :1], both[:, :, 1:].flip(-2) * self.get_buffer("signs")
        power = plain.square().sum(dim=-2)
        fields = torch.cat([power, (plain * slope).sum(dim=-2)], dim=2)  # [B, F, 2, P, H]
        axes.append(self._on_axis(torch.sqrt(power.squeeze(2)), 2))
        maps = torch.log(torch.cat(axes, dim=-1) + 1e-8)
        batch, frames = map(int, maps.shape[:2])
        fields = fields.transpose(-1, -2).reshape(batch * frames, -1)
        return maps.reshape(batch, frames, len(WINDOWS), NUM_FREQUENCIES).transpose(1, 2), fields

    def _cut(self, audio: Tensor, index: int, window: Tensor) -> Tensor:
        """Return the frames under a window [span], or under several [W, span], cut for the transform: [..., P, Q]."""
        fourier, span = self._fourier(index), _span(WINDOWS[index])
        shape, spare = (fourier.rows, fourier.columns), WINDOWS[index] - span
        offsets = functional.pad(_offsets(audio, WINDOWS[index]), (0, spare)).unflatten(1, shape)
        table = functional.pad(window, (0, spare)).unflatten(-1, shape)
        seen = audio[:, offsets]
        return (seen.unsqueeze(2) if window.dim() > 1 else seen) * table

    def _fourier(self, index: int) -> RealFourier:
        return cast(RealFourier, self.fouriers[index])

    def _on_axis(self, magnitude: Tensor, index: int) -> Tensor:
        return torch.matmul(magnitude.flatten(-2), self.get_buffer(f"axis_{index}"))

    def network(self, spectra: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
        """Return candidate scores [B, F, 95] and the logarithmic odds of voicing [B, F] from [B, 3, F, 128].

        Frequencies are the last axis, as runtimes compute along it and a block has few frames.
        """
        memory = memory or Memory()
        x = functional.relu(self._convolve(spectra, 0, memory))
        for first in BLOCK_STARTS:
            is_last = first == LAST_BLOCK
            residual = x[..., : NUM_CANDIDATES + 2 * LAST_REACH] if is_last else x
            x = functional.relu(self._convolve(residual, first, memory))
            x = x[..., : NUM_CANDIDATES + LAST_REACH] if is_last else x
            x = self._convolve(x, first + 1, memory)
            x = functional.relu(x + (residual[..., : NUM_CANDIDATES + LAST_REACH] if is_last else residual))
        x = functional.pad(x[..., :NUM_CANDIDATES], (1, 0))
        x = functional.relu(self._convolve(x, READER, memory))
        hint, scores = hint_and_scores(x, self._layer(HINT), self._layer(SCORE), frequency_axis=3)
        voice = torch.cat([hint.amax(dim=3), spectra.mean(dim=(1, 3)).unsqueeze(1)], dim=1)
        voice = memory.extend("pitch.voicing", voice, TAPS - 1, axis=2)
        voice = functional.relu(functional.conv1d(voice, *self._layer(VOICE)))
        return scores.squeeze(1), functional.conv1d(voice, *self._layer(VOICING)).squeeze(1)

    def _convolve(self, x: Tensor, index: int, memory: Memory) -> Tensor:
        weight, bias = self._layer(index)
        weight, bias = widened(weight, bias, is_first=index == 0)
        weight = weight.transpose(2, 3)
        if weight.shape[2] > 1:
            x = memory.extend(f"pitch.layer{index}", x, TAPS - 1, axis=2)
        if index >= len(DILATIONS):
            return functional.conv2d(x, weight, bias)
        dilation = DILATIONS[index]
        padding = (0, (weight.shape[3] - 1) // 2 * dilation)
        return functional.conv2d(x, weight, bias, padding=padding, dilation=(1, dilation))

    def _layer(self, index: int) -> tuple[Tensor, Tensor]:
        return self.weights[f"weight_{index}"], self.weights[f"bias_{index}"]

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


def folded_weights(tracker: SwiftPitch) -> dict[str, Tensor]:
    """Return causal weights: what a convolution read of later frames it reads of the newest one."""
    stored = {}
    for index in range(NUM_LAYERS):
        weight, bias = (value.detach() for value in tracker.network.layer(index))
        if weight.shape[-1] > 1:
            reach = weight.shape[-1] // 2
            newest = weight[..., reach:].sum(dim=-1, keepdim=True)
            missing = torch.zeros_like(newest).expand(*newest.shape[:-1], TAPS - 1 - reach)
            weight = torch.cat([missing, weight[..., :reach], newest], dim=-1)
        stored[f"weight_{index}"], stored[f"bias_{index}"] = weight.clone(), bias.clone()
    return stored


def _span(window: int) -> int:
    """Return how many samples of a window centred on a frame are there: up to the newest one."""
    return window // 2 + min(window // 2, AFTER_CENTRE)


def _offsets(audio: Tensor, window: int) -> Tensor:
    """Return [F, N], the samples that a window of each frame sees of audio [B, HISTORY + F * 160]."""
    first = HISTORY + FEATURE_HOP - AFTER_CENTRE - window // 2
    frames = torch.arange((int(audio.shape[1]) - HISTORY) // FEATURE_HOP, device=audio.device)
    return first + FEATURE_HOP * frames[:, None] + torch.arange(_span(window), device=audio.device)


def _frames(audio: Tensor, window: int) -> Tensor:
    """Return [B, F, N], what a window of each frame sees of audio [B, HISTORY + F * 160]."""
    return audio[:, _offsets(audio, window)]


def _halves(parts: Tensor) -> Tensor:
    """Return [..., 2, H], real parts and the others, of [..., 2 H]."""
    return parts.unflatten(-1, (2, int(parts.shape[-1]) // 2))
