"""From blocks of audio at any rate to the features that a voice model reads, with a look-ahead of 14 ms."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.stream_memory import Memory, overlapping_frames
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE
from utils.audio.highpass import HighPass
from utils.audio.loudness import FLOOR_DB
from utils.audio.resample import RationalResampler
from utils.errors import ConfigError
from utils.features.content.builtin import BuiltinContent
from utils.features.content.network import FRAME_SAMPLES, ContentNetwork
from utils.features.content.stream_content import StreamContent
from utils.features.content.stream_level import StreamLevel
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.stream_pitch import HISTORY as PITCH_HISTORY
from utils.features.pitch.stream_pitch import LOOK_AHEAD, StreamPitch
from utils.features.pitch.swift import SwiftPitch

ZERO_CROSSINGS = 30  # of the resampling kernel: 11 less than for recordings are 1.1 ms less of delay at 48 kHz
# shares of the lower Nyquist frequency, as PASS_BAND and STOP_BAND of utils.audio.resample
STREAM_PASS_BAND, STREAM_STOP_BAND = 0.875, 1.025
LOUDNESS_WINDOW = 2 * FEATURE_HOP  # half of FrameLoudness': it ends with the newest sample


class StreamAnalysis(NamedTuple):
    """Features of the next F frames, all of what lies before the newest sample.

    Attributes:
        content: [B, F / 2, D], of frames of 20 ms that end 14 ms before it.
        f0_hz: [B, F], 0 in unvoiced frames; the last ends 14 ms before it.
        loudness_db: [B, F]; the last is that of the newest 20 ms.
    """

    content: Tensor
    f0_hz: Tensor
    loudness_db: Tensor


class StreamFrontend(nn.Module):
    """High-pass, resampling, content, pitch and loudness of a stream.

    Args:
        frontend: the front end of the voice for whole recordings.
        highpass: that of the voice for whole recordings; None for none.

    Attributes:
        encoder_identity: plain data that names the encoder as it stands here, see ContentEncoder.
        pitch_identity: plain data that names the tracker as it stands here.
        look_ahead_seconds: from the end of the last frame of content to the newest sample, without delay_seconds.
    Raises:
        ConfigError: if its encoder or tracker has no form for streams.
    """

    def __init__(self, frontend: AnalysisFrontend, highpass: HighPass | None = None) -> None:
        super().__init__()
        encoder, tracker = frontend.content_encoder, frontend.pitch_tracker
        network = getattr(encoder, "network", None)
        if not isinstance(network, ContentNetwork):
            raise ConfigError(
                f"the content encoder {encoder.identity.get('id')} has no form for streams; "
                "leave stream out of export.graph_kinds, or prepare and train with content=builtin"
            )
        if not isinstance(tracker, SwiftPitch):
            raise ConfigError("this pitch tracker has no form for streams; prepare and train with pitch=builtin")
        self.encoder_identity = {**encoder.identity, "look_ahead": "short"}
        self.content = StreamContent(network)
        self.level = StreamLevel() if isinstance(encoder, BuiltinContent) else None  # the others raise nothing
        self.pitch = StreamPitch(tracker).requires_grad_(False)
        self.pitch_identity = self.pitch.identity
        self.highpass = None if highpass is None else StreamHighPass(highpass)
        self.resampler = StreamResampler(frontend.resampler)
        self.look_ahead_seconds = LOOK_AHEAD / FEATURE_RATE
        window = torch.hann_window(LOUDNESS_WINDOW)
        self.register_buffer("loudness_window", window / window.sum(), persistent=False)
        self.loudness_window: Tensor

    @property
    def delay_seconds(self) -> float:
        """By which the audio at 16 kHz is late."""
        return self.resampler.delay_seconds

    def forward(self, audio: Tensor, memory: Memory) -> StreamAnalysis:
        """Analyse the next samples [B, F * io_rate / 100]; F is even."""
        if self.highpass is not None:
            audio = self.highpass(audio, memory)
        audio_16k = self.resampler(audio, memory, "input")
        samples = int(audio_16k.shape[1])
        longer = memory.extend("audio", audio_16k, PITCH_HISTORY)  # the tracker's windows are the longest
        f0_hz, loudness_db = self.pitch.read(longer, memory), self._loudness(longer, samples)
        if self.level is None:
            content = self.content.read(longer, samples, memory)
        else:
            content = self.content(self.level(audio_16k, f0_hz, loudness_db, memory), memory)
        return StreamAnalysis(content, f0_hz, loudness_db)

    def _loudness(self, longer: Tensor, samples: int) -> Tensor:
        frames = overlapping_frames(longer, LOUDNESS_WINDOW, FEATURE_HOP, samples // FEATURE_HOP)
        power = torch.matmul(frames.square(), self.loudness_window)
        return 10.0 * torch.log10(power.clamp(min=10 ** (FLOOR_DB / 10)))


class StreamHighPass(nn.Module):
    """HighPass for streams: its state passes from block to block, and it is not late.

    Args:
        highpass: for whole recordings; this one has its matrices.
    """

    def __init__(self, highpass: HighPass) -> None:
        super().__init__()
        self.highpass = highpass
        self.together = smallest_block(highpass.sample_rate) // highpass.piece
        self.register_buffer("carry", _carry(highpass.step, self.together), persistent=False)
        self.carry: Tensor

    def forward(self, audio: Tensor, memory: Memory) -> Tensor:
        """Return the next samples [B, T] filtered; T is a multiple of 20 ms."""
        highpass, size = self.highpass, self.highpass.num_states
        own, entered = highpass.pieces(audio)
        state = memory.recall("highpass", (size,), audio)
        before = []
        for group in entered.split(self.together, dim=1):
            passed = torch.matmul(torch.cat([state, group.flatten(1)], dim=1), self.carry)
            starts, state = passed.split([self.together * size, size], dim=1)
            before.append(starts.unflatten(1, (self.together, size)))
        memory.keep(state)
        states = torch.cat(before, dim=1) if len(before) > 1 else before[0]
        return (own + torch.matmul(states, highpass.left)).flatten(1)


def _carry(step: np.ndarray, count: int) -> Tensor:
    """Return the matrix from a state and what each of some pieces adds to the states before and after the pieces."""
    size = len(step)
    powers = [np.linalg.matrix_power(step, power) for power in range(count + 1)]
    carry = np.zeros((count + 1, size, count + 1, size))
    for after in range(count + 1):
        carry[0, :, after] = powers[after]
        for piece in range(after):
            carry[piece + 1, :, after] = powers[after - piece - 1]
    return torch.from_numpy(carry.reshape((count + 1) * size, -1)).float()


class StreamResampler(nn.Module):
    """RationalResampler for streams: late by as many input samples as its kernel reaches ahead.

    Args:
        resampler: for whole recordings; this one has its rates and a shorter kernel.
    """

    def __init__(self, resampler: RationalResampler) -> None:
        super().__init__()
        rates = resampler.source_rate, resampler.target_rate
        self.resampler = RationalResampler(*rates, zero_crossings=ZERO_CROSSINGS)
        self.delay = 0 if resampler.up == resampler.down else self.resampler.reach

    @property
    def target_rate(self) -> int:
        """Samples per second of the output."""
        return self.resampler.target_rate

    @property
    def delay_seconds(self) -> float:
        """By which the output is late."""
        return self.delay / self.resampler.source_rate

    def forward(self, audio: Tensor, memory: Memory, name: str) -> Tensor:
        """Return the next [B, T * up / down] of [B, T]; T is a multiple of `down`."""
        if not self.delay:
            return audio
        longer = memory.extend(f"{name}.resampler", audio, 2 * self.delay).unsqueeze(1)
        phases = functional.conv1d(longer, self.resampler.kernels, stride=self.resampler.down)
        return phases.squeeze(1) if self.resampler.up == 1 else phases.transpose(1, 2).flatten(1)


def smallest_block(io_rate: int) -> int:
    """Return the samples of the shortest block: one content frame, 20 ms."""
    return io_rate // FRAME_RATE * (FRAME_SAMPLES // FEATURE_HOP)
