"""Conversion of a stream around a generator: the sibling of conversion.py, block by block."""

from typing import Protocol

import torch
from torch import Tensor, nn

from models.base import StreamForm
from models.conversion import (
    SMALL_POWER,
    Retrieval,
    blended_content,
    finite_audio,
    level_gain,
    shifted_pitch,
    silence_gate,
    with_automatic_pitch,
    without_retrieval,
)
from models.layers.automatic_pitch import AutomaticPitch, StreamAutomaticPitch
from models.layers.controls import Controls, bounded_controls
from models.layers.stream_memory import Memory
from utils.voice_file.controls import ControlDefaults


class BlockFrontend(Protocol):
    """From the next samples of a stream to features; a module.

    Attributes:
        look_ahead_seconds: from the end of the last frame of content to the newest sample, without the delay.
        delay_seconds: by which the samples are late that it reads.
    """

    look_ahead_seconds: float

    @property
    def delay_seconds(self) -> float:
        """By which the samples are late that it reads."""
        ...

    def __call__(self, audio: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """Return content [B, F / 2, D], f0_hz [B, F] and loudness_db [B, F] of the next samples [B, F * io_rate / 100].

        Loudness is that of the newest samples; content and pitch look ahead, so they are those of earlier frames.
        """
        ...


class BlockResampler(Protocol):
    """From the generator's rate to that of the stream; a module."""

    @property
    def target_rate(self) -> int:
        """Samples per second of the output."""
        ...

    @property
    def delay_seconds(self) -> float:
        """By which the output is late."""
        ...

    def __call__(self, audio: Tensor, memory: Memory, name: str) -> Tensor:
        """Return the next samples of [B, T]; `name` is what the memory calls its part."""
        ...


class StreamConverter(nn.Module):
    """A voice that converts a stream block by block: what is exported as a graph for streams.

    Its state goes in and comes out, nothing stays between calls. With one block for the whole of a recording it is its
    own reference.

    Args:
        generator: the network as a stream.
        frontend: from blocks at the rate of the stream to features.
        retrieval: None for a voice without.
        resampler: from the generator's rate to that of the stream.
        block: samples of a block.
        defaults: what counts for a control that is NaN.
        automatic_pitch: what chooses a pitch_shift that is NaN; None: the default.

    Attributes:
        state_size: numbers that pass from one block to the next.
    """

    def __init__(
        self,
        generator: StreamForm,
        frontend: BlockFrontend,
        retrieval: Retrieval | None,
        resampler: BlockResampler,
        *,
        block: int,
        defaults: ControlDefaults | None = None,
        automatic_pitch: AutomaticPitch | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.frontend = frontend
        self.retrieval = retrieval
        self.resampler = resampler
        self.block = block
        self.defaults = defaults or ControlDefaults()
        self.automatic_pitch = StreamAutomaticPitch(automatic_pitch) if automatic_pitch is not None else None
        memory = Memory()
        with torch.no_grad():
            values = (torch.tensor(value) for value in (0.0, 0, 0.0, 0.5, 1.0))
            self._convert(torch.zeros(1, block), memory, Controls(*values))
        self.layout, self.state_size = memory.layout, memory.size

    @property
    def look_ahead(self) -> int:
        """Samples by which the output is behind the input, the block itself not counted."""
        transform, rate = self.generator.transform, self.generator.sample_rate
        # content and pitch are those of the frame before
        frame_end = self.frontend.look_ahead_seconds - transform.hop_length / rate
        synthesis = transform.overlap / 2 / rate
        resamplers = self.frontend.delay_seconds + self.resampler.delay_seconds
        return round((frame_end + synthesis + resamplers) * self.resampler.target_rate)

    def forward(
        self,
        audio: Tensor,
        state: Tensor,
        pitch_shift: Tensor,
        speaker_id: Tensor,
        index_rate: Tensor,
        protect: Tensor,
        loudness_mix: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Convert the next block.

        Args:
            audio: [1, T] at the rate of the stream, T a multiple of 20 ms; NaN counts as silence.
            state: [1, state_size] what the call before returned; zeros are a fresh start.
            pitch_shift: this and the others are scalars, see Controls; outside its range counts the nearest end, for
                NaN the default.
        Returns:
            [1, T], finite, `look_ahead` samples behind the input; and the state for the next call.
        """
        memory = Memory(state, self.layout)
        given = Controls(pitch_shift, speaker_id, index_rate, protect, loudness_mix)
        return self._convert(audio, memory, given), memory.packed()

    def whole(self, audio: Tensor, *controls: Tensor) -> Tensor:
        """Return the conversion [1, T] of a recording [1, T], T a multiple of 20 ms, as one block."""
        return self._convert(audio, Memory(), Controls(*controls))

    def _convert(self, audio: Tensor, memory: Memory, given: Controls) -> Tensor:
        generator = self.generator
        controls = bounded_controls(given, self.defaults, generator.num_speakers)
        half_rate, f0_hz, loudness_db = self.frontend(finite_audio(audio), memory)
        speaker = controls.speaker_id.reshape(1)
        content = self._retrieve(half_rate, f0_hz, speaker, controls)
        if self.automatic_pitch is not None:
            controls = with_automatic_pitch(controls, given, self.automatic_pitch(f0_hz, speaker, memory))
        pieces = generator.pieces(content, shifted_pitch(f0_hz, controls), loudness_db, speaker, memory)
        gain = silence_gate(loudness_db) * self._level_gain(pieces, loudness_db, controls.loudness_mix)
        made = generator.transform.add(pieces * gain.unsqueeze(-1), memory)
        return self.resampler(made, memory, "output")

    def _retrieve(self, half_rate: Tensor, f0_hz: Tensor, speaker: Tensor, controls: Controls) -> Tensor:
        """Return content [B, F, D] at 100 frames a second of [B, F / 2, D]."""
        content = half_rate.repeat_interleave(2, dim=1)
        if self.retrieval is None:
            return without_retrieval(content, controls)
        step = (self.retrieval(half_rate, speaker, controls.index_rate) - half_rate).repeat_interleave(2, dim=1)
        return blended_content(content, step, f0_hz, controls)

    def _level_gain(self, pieces: Tensor, loudness_db: Tensor, loudness_mix: Tensor) -> Tensor:
        """Return the gain [B, F] that gives each piece the input's level, in the share that is asked for."""
        made = pieces.square().sum(dim=-1) / self.generator.transform.synthesis.square().sum() + SMALL_POWER
        wanted = 10 ** (0.1 * loudness_db) + SMALL_POWER
        return level_gain(wanted, made, 0.5 * (1.0 - loudness_mix))
