"""The default pitch tracker for streams: SwiftF0's network with nothing but its past.

The network looks 60 ms ahead and half of its longest window is 64 ms. Here windows are cut at the newest sample, and
convolutions over time see the past alone. Their weights were trained for minutes to give what the tracker with all its
look-ahead gives (benchmarks/streaming_pitch.py), starting from that tracker's, with what it read of later frames
folded onto the newest one.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.fourier import RealFourier
from models.layers.streaming import Memory, overlapping_frames
from utils.audio.frames import FEATURE_HOP
from utils.features.content.builtin import WEIGHTS_FOLDER, read_weights
from utils.features.pitch.base import MAX_F0_HZ, MIN_F0_HZ
from utils.features.pitch.refinement import WINDOW as SHORT_WINDOW
from utils.features.pitch.refinement import refinement_windows
from utils.features.pitch.swift import (
    DILATIONS,
    LAST_BLOCK,
    LAST_REACH,
    NUM_CANDIDATES,
    SILENCE_PEAK,
    WINDOWS,
    SwiftPitch,
)
from utils.files import sha256_of_file

LOOK_AHEAD = 224  # samples at 16 kHz after the end of a frame
WEIGHTS = WEIGHTS_FOLDER / "pitch_stream.safetensors"
TAPS = 3  # frames that a convolution over time reads, the newest included
NUM_LAYERS = 18
VOICING_LAYER = 16
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
            self._store(f"axis_{index}", tracker.get_buffer(f"axis_{index}")[: window // 2 + 1].contiguous())
        self._store("slope", refinement_windows()[1].float())
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
        scores, voicing = self.network(self.spectra(longer), memory)
        short = _frames(longer, SHORT_WINDOW)
        both = torch.stack([short * self.get_buffer("window_2"), short * self.get_buffer("slope")], dim=1)
        real, imaginary = self.fouriers[2](both)
        spectrum = torch.stack([real[:, 0], imaginary[:, 0], real[:, 1], imaginary[:, 1]], dim=2)
        coarse_hz = self.tracker._decode(scores)
        f0_hz = self.tracker.refinement(coarse_hz.flatten(), spectrum.flatten(0, 1)).reshape(coarse_hz.shape)
        voiced = (torch.sigmoid(voicing) >= self.voicing_threshold) & (short.abs().amax(dim=-1) >= SILENCE_PEAK)
        voiced = voiced & (f0_hz >= MIN_F0_HZ) & (f0_hz <= MAX_F0_HZ)
        return torch.where(voiced, f0_hz, torch.zeros_like(f0_hz))

    def spectra(self, audio: Tensor) -> Tensor:
        """Return [B, 3, 128, F], what the network reads, of audio [B, HISTORY + F * 160]."""
        maps = []
        for index, window in enumerate(WINDOWS):
            seen = _frames(audio, window) * self.get_buffer(f"window_{index}")
            real, imaginary = self.fouriers[index](functional.pad(seen, (0, window - _span(window))))
            magnitude = torch.sqrt(real.square() + imaginary.square())
            maps.append(torch.log(torch.matmul(magnitude, self.get_buffer(f"axis_{index}")) + 1e-8))
        return torch.stack(maps, dim=1).transpose(2, 3)

    def network(self, spectra: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
        """Return candidate scores [B, F, 95] and the logarithmic odds of voicing [B, F] from [B, 3, 128, F]."""
        memory = memory or Memory()
        x = functional.relu(self._convolve(spectra, 0, memory))
        for first in range(1, len(DILATIONS), 2):
            is_last = first == LAST_BLOCK
            residual = x[:, :, : NUM_CANDIDATES + 2 * LAST_REACH] if is_last else x
            x = functional.relu(self._convolve(residual, first, memory))
            x = x[:, :, : NUM_CANDIDATES + LAST_REACH] if is_last else x
            x = self._convolve(x, first + 1, memory)
            x = functional.relu(x + residual[:, :, : x.shape[2]])
        x = functional.pad(x[:, :, :NUM_CANDIDATES], (0, 0, 1, 0))
        x = functional.relu(self._convolve(x, 13, memory))
        hint = functional.conv2d(x, *self._layer(14), padding=(2, 0)).amax(dim=2)
        scores = functional.conv2d(x, *self._layer(15)).squeeze(1).transpose(1, 2)
        voice = torch.cat([hint, spectra.mean(dim=(1, 2)).unsqueeze(1)], dim=1)
        voice = memory.extend("pitch.voicing", voice, TAPS - 1, axis=2)
        voice = functional.relu(functional.conv1d(voice, *self._layer(VOICING_LAYER)))
        return scores, functional.conv1d(voice, *self._layer(17)).squeeze(1)

    def _convolve(self, x: Tensor, index: int, memory: Memory) -> Tensor:
        weight, bias = self._layer(index)
        if weight.shape[3] > 1:
            x = memory.extend(f"pitch.layer{index}", x, TAPS - 1, axis=3)
        if index >= len(DILATIONS):
            return functional.conv2d(x, weight, bias)
        dilation = DILATIONS[index]
        padding = ((weight.shape[2] - 1) // 2 * dilation, 0)
        return functional.conv2d(x, weight, bias, padding=padding, dilation=(dilation, 1))

    def _layer(self, index: int) -> tuple[Tensor, Tensor]:
        return self.weights[f"weight_{index}"], self.weights[f"bias_{index}"]

    def _store(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


def folded_weights(tracker: SwiftPitch) -> dict[str, Tensor]:
    """Return causal weights: what a convolution read of later frames it reads of the newest one."""
    stored = {}
    for index in range(NUM_LAYERS):
        weight, bias = tracker.get_buffer(f"weight_{index}"), tracker.get_buffer(f"bias_{index}")
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


def _frames(audio: Tensor, window: int) -> Tensor:
    """Return [B, F, N], what a window of each frame sees of audio [B, HISTORY + F * 160]."""
    first = HISTORY + FEATURE_HOP - AFTER_CENTRE - window // 2
    count = (int(audio.shape[1]) - HISTORY) // FEATURE_HOP
    seen = audio[:, first : first + _span(window) + (count - 1) * FEATURE_HOP]
    return overlapping_frames(seen, _span(window), FEATURE_HOP)
