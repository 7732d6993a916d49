"""A voice that converts a stream block by block: its state goes in and comes out, nothing is kept between calls."""

import torch
from torch import Tensor, nn

from models.base import GATE_RANGE_DB, INPUT_LIMIT, PROTECT_OFF, SILENCE_DB, BaseVoiceConversionModel
from models.layers.controls import Controls, bounded_controls
from models.layers.stream_memory import Memory
from utils.audio.frames import FEATURE_RATE
from utils.audio.resample import RationalResampler
from utils.errors import ExportError
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.stream_pitch import LOOK_AHEAD
from utils.features.stream_frontend import StreamFrontend, StreamResampler, smallest_block

SMALL_POWER = 1e-8
MAX_LEVEL_GAIN = 10.0


class StreamingVoice(nn.Module):
    """The streaming form of a voice; with one block for the whole of a recording it is its own reference.

    Args:
        voice: a model that can convert a stream, with front end and retrieval attached at the rate of the stream.
        block_ms: length of a block, see check_stream_block.
    Raises:
        ExportError: if the model cannot convert a stream.
        ConfigError: if its encoder or pitch tracker has no form for streams.
    """

    def __init__(self, voice: BaseVoiceConversionModel, *, block_ms: int = 20) -> None:
        super().__init__()
        if voice.stream_transform is None:
            raise ExportError(
                f"{type(voice).__name__} cannot convert a stream: leave out the flavour stream, or train model=lite"
            )
        assert isinstance(voice.frontend, AnalysisFrontend)
        assert isinstance(voice.output_resampler, RationalResampler)
        self.voice = voice
        self.frontend = StreamFrontend(voice.frontend)
        self.output_resampler = StreamResampler(voice.output_resampler)
        self.block = smallest_block(voice.io_rate) * (block_ms // 20)
        with torch.no_grad():
            memory = Memory()
            self._convert(
                torch.zeros(1, self.block), memory, *(torch.tensor(value) for value in (0.0, 0, 0.0, 0.5, 1.0))
            )
        self.layout = memory.layout
        self.state_size = memory.size

    @property
    def look_ahead(self) -> int:
        """Samples by which the output is behind the input, the block itself not counted."""
        rate, transform = self.voice.io_rate, self.voice.stream_transform
        assert transform is not None
        # content and pitch are those of the frame before, which ends LOOK_AHEAD before the newest sample
        frame_end = LOOK_AHEAD / FEATURE_RATE - transform.hop_length / self.voice.sample_rate
        synthesis = transform.overlap / 2 / self.voice.sample_rate
        resamplers = self.frontend.resampler.delay_seconds + self.output_resampler.delay_seconds
        return round((frame_end + synthesis + resamplers) * rate)

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
        output = self._convert(audio, memory, pitch_shift, speaker_id, index_rate, protect, loudness_mix)
        return output, memory.packed()

    def whole(self, audio: Tensor, *controls: Tensor) -> Tensor:
        """Return the conversion [1, T] of a recording [1, T], T a multiple of the block, as one block."""
        return self._convert(audio, Memory(), *controls)

    def _convert(
        self,
        audio: Tensor,
        memory: Memory,
        pitch_shift: Tensor,
        speaker_id: Tensor,
        index_rate: Tensor,
        protect: Tensor,
        loudness_mix: Tensor,
    ) -> Tensor:
        voice, transform = self.voice, self.voice.stream_transform
        assert transform is not None
        controls = bounded_controls(Controls(pitch_shift, index_rate, protect, loudness_mix), voice.control_defaults)
        finite = torch.where(audio == audio, audio, torch.zeros_like(audio)).clamp(-INPUT_LIMIT, INPUT_LIMIT)
        half_rate, f0_hz, loudness_db = self.frontend(finite, memory)
        speaker = speaker_id.clamp(0, voice.num_speakers - 1).reshape(1)
        content = self._retrieve(half_rate, f0_hz, speaker, controls.index_rate, controls.protect)
        shifted = f0_hz * torch.exp2(controls.pitch_shift / 12.0)
        pieces = voice.stream_pieces(content, shifted, loudness_db, speaker, memory)
        gate = ((loudness_db - SILENCE_DB) / GATE_RANGE_DB).clamp(0.0, 1.0)
        gain = gate * _level_gain(pieces, transform.synthesis, loudness_db, controls.loudness_mix)
        made = transform.add(pieces * gain.unsqueeze(-1), memory)
        return self.output_resampler(made, memory, "output")

    def _retrieve(
        self, half_rate: Tensor, f0_hz: Tensor, speaker: Tensor, index_rate: Tensor, protect: Tensor
    ) -> Tensor:
        """Return content [B, F, D] at 100 frames a second of [B, F / 2, D]; see BaseVoiceConversionModel."""
        retrieval = self.voice.retrieval
        if retrieval is None:
            return half_rate.repeat_interleave(2, dim=1) + 0.0 * (index_rate + protect)
        share = torch.where(protect < PROTECT_OFF, protect, torch.ones_like(protect))
        weight = index_rate * torch.where(f0_hz > 0, torch.ones_like(f0_hz), share)
        step = (retrieval(half_rate, speaker, index_rate) - half_rate).repeat_interleave(2, dim=1)
        content = half_rate.repeat_interleave(2, dim=1)
        blended = content + weight.unsqueeze(-1) * step
        power, own = (value.square().mean(dim=-1, keepdim=True) + SMALL_POWER for value in (blended, content))
        return blended * torch.sqrt(own / power)


def _level_gain(pieces: Tensor, window: Tensor, loudness_db: Tensor, loudness_mix: Tensor) -> Tensor:
    """Return the gain [B, F] that gives each piece the input's level, in the share that is asked for."""
    made = pieces.square().sum(dim=-1) / window.square().sum() + SMALL_POWER
    wanted = 10 ** (0.1 * loudness_db) + SMALL_POWER
    exponent = 0.5 * (1.0 - loudness_mix)
    return torch.exp(exponent * torch.log(wanted / made)).clamp(max=MAX_LEVEL_GAIN)
