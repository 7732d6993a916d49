"""A voice that converts a stream block by block: its state goes in and comes out, nothing is kept between calls."""

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.conversion import (
    SMALL_POWER,
    AudioConverter,
    blended_content,
    finite_audio,
    level_gain,
    shifted_pitch,
    silence_gate,
    without_retrieval,
)
from models.layers.controls import Controls, bounded_controls
from models.layers.stream_memory import Memory
from utils.audio.frames import FEATURE_RATE
from utils.errors import ExportError
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.stream_pitch import LOOK_AHEAD
from utils.features.stream_frontend import StreamFrontend, StreamResampler, smallest_block


class StreamingVoice(nn.Module):
    """The streaming form of a voice; with one block for the whole of a recording it is its own reference.

    Args:
        converter: with a generator that can convert a stream, at the rate of the stream.
        block_ms: length of a block, a multiple of 20.
    Raises:
        ExportError: if the model cannot convert a stream.
        ConfigError: if its encoder or pitch tracker has no form for streams.
    """

    def __init__(self, converter: AudioConverter, *, block_ms: int = 20) -> None:
        super().__init__()
        generator = converter.generator
        assert isinstance(generator, BaseVoiceConversionModel) and isinstance(converter.frontend, AnalysisFrontend)
        if generator.stream_transform is None:
            raise ExportError(
                f"{type(generator).__name__} cannot convert a stream: leave out the flavour stream, or train model=lite"
            )
        self.generator, self.transform = generator, generator.stream_transform
        self.frontend = StreamFrontend(converter.frontend)
        self.retrieval = converter.retrieval
        self.resampler = StreamResampler(converter.resampler)
        self.defaults = converter.defaults
        self.io_rate = converter.io_rate
        self.block = smallest_block(self.io_rate) * (block_ms // 20)
        with torch.no_grad():
            memory = Memory()
            values = (torch.tensor(value) for value in (0.0, 0, 0.0, 0.5, 1.0))
            self._convert(torch.zeros(1, self.block), memory, Controls(*values))
        self.layout = memory.layout
        self.state_size = memory.size

    @property
    def look_ahead(self) -> int:
        """Samples by which the output is behind the input, the block itself not counted."""
        generator, transform = self.generator, self.transform
        # content and pitch are those of the frame before, which ends LOOK_AHEAD before the newest sample
        frame_end = LOOK_AHEAD / FEATURE_RATE - transform.hop_length / generator.sample_rate
        synthesis = transform.overlap / 2 / generator.sample_rate
        resamplers = self.frontend.resampler.delay_seconds + self.resampler.delay_seconds
        return round((frame_end + synthesis + resamplers) * self.io_rate)

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
            pitch_shift: scalar -36..36, semitones added to the pitch.
            speaker_id: scalar int64; values outside 0..S-1 mean the nearest speaker.
            index_rate: scalar 0..1, share of retrieved content.
            protect: scalar 0..0.5, share of retrieval in unvoiced frames; 0.5 and more means no protection.
            loudness_mix: scalar 0..1; 1 keeps the model's own level, 0 imposes the input's level on each frame.
            A control outside its range counts as the nearest end, NaN as its default.
        Returns:
            [1, T], finite, `look_ahead` samples behind the input; and the state for the next call.
        """
        memory = Memory(state, self.layout)
        given = Controls(pitch_shift, speaker_id, index_rate, protect, loudness_mix)
        return self._convert(audio, memory, given), memory.packed()

    def whole(self, audio: Tensor, *controls: Tensor) -> Tensor:
        """Return the conversion [1, T] of a recording [1, T], T a multiple of the block, as one block."""
        return self._convert(audio, Memory(), Controls(*controls))

    def _convert(self, audio: Tensor, memory: Memory, given: Controls) -> Tensor:
        controls = bounded_controls(given, self.defaults, self.generator.num_speakers)
        half_rate, f0_hz, loudness_db = self.frontend(finite_audio(audio), memory)
        speaker = controls.speaker_id.reshape(1)
        content = self._retrieve(half_rate, f0_hz, speaker, controls)
        pitch = shifted_pitch(f0_hz, controls)
        pieces = self.generator.stream_pieces(content, pitch, loudness_db, speaker, memory)
        gain = silence_gate(loudness_db) * self._level_gain(pieces, loudness_db, controls.loudness_mix)
        made = self.transform.add(pieces * gain.unsqueeze(-1), memory)
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
        made = pieces.square().sum(dim=-1) / self.transform.synthesis.square().sum() + SMALL_POWER
        wanted = 10 ** (0.1 * loudness_db) + SMALL_POWER
        return level_gain(wanted, made, 0.5 * (1.0 - loudness_mix))
