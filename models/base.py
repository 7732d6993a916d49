"""The contract of an architecture: what every voice-conversion model offers to training and export."""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.clip_random import ClipDraws
from models.layers.controls import CONTROL_DEFAULTS, Controls, bounded_controls
from models.layers.frames import FramesToSamples
from models.layers.overlap import LowDelayTransform
from models.layers.recompute import RecomputableBlock
from models.layers.stream_memory import Memory
from utils.audio.batch import VoiceBatch
from utils.audio.frames import FRAME_RATE
from utils.audio.loudness import FLOOR_DB
from utils.audio.resample import RationalResampler
from utils.audio.reshaping import reshape

SILENCE_DB = FLOOR_DB + 8.0  # below this the output is silent
GATE_RANGE_DB = 6.0  # the output fades in over this range above SILENCE_DB
INPUT_LIMIT = 8.0  # larger samples and infinities are cut to this before analysis
PROTECT_OFF = 0.5  # at this value retrieval also touches unvoiced frames (the RVC convention)


class TrainingPass(NamedTuple):
    """What a network makes of a training batch.

    Attributes:
        audio: [B, T'] generated; all of the batch or a part.
        target: [B, T'], the recorded audio of that part.
        terms: losses of the network's own, scalars in fp32 by name.
    """

    audio: Tensor
    target: Tensor
    terms: dict[str, Tensor]


class BaseVoiceConversionModel(nn.Module):
    """Generator of a target voice from content, pitch and loudness.

    A subclass implements `inference`; training calls `training_pass`, validation `forward`, export traces
    `forward_audio` after `attach`.

    Attributes:
        training_terms: names of the losses of its own that training_pass returns.
        use_f0: whether the pitch, and so pitch_shift, reaches the output.
        needs_context: whether the architecture is meant to be given sound before and after what is wanted, so that
            blocks converted by themselves may meet with a click.
        is_for_streams: whether it can be exported as a streaming graph alone.
        control_defaults: what forward_audio takes for a control that is given as NaN.

    Args:
        sample_rate: samples per second of the generated audio, a multiple of 100.
        content_dim: D, size of a content vector.
        num_speakers: S, speakers that speaker_id may name.
    """

    training_terms: ClassVar[tuple[str, ...]] = ()
    needs_context: ClassVar[bool] = False
    is_for_streams: ClassVar[bool] = False
    use_f0: bool = True

    def __init__(self, *, sample_rate: int, content_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = sample_rate // FRAME_RATE
        self.content_dim = content_dim
        self.num_speakers = num_speakers
        self.stream_transform: LowDelayTransform | None = None
        self.frontend: nn.Module | None = None
        self.retrieval: nn.Module | None = None
        self.output_resampler: nn.Module | None = None
        self.io_rate = sample_rate
        self.control_defaults: dict[str, float] = dict(CONTROL_DEFAULTS)

    @abstractmethod
    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio.

        Args:
            content: [B, F, D].
            f0_hz: [B, F], 0 in unvoiced frames.
            loudness_db: [B, F], dB relative to full scale.
            speaker_id: [B] int64.
        Returns:
            [B, F * hop_length], about -1 to 1.
        """

    def stream_pieces(
        self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory
    ) -> Tensor:
        """Generate the next windowed pieces of audio, which `stream_transform.add` puts together.

        A model that can convert a stream has `stream_transform` and overrides this.

        Args:
            content: [B, F, D], one frame older than loudness_db.
            f0_hz: [B, F], one frame older than loudness_db; 0 in unvoiced frames.
            loudness_db: [B, F], dB relative to full scale.
            speaker_id: [B] int64.
            memory: of the stream.
        Returns:
            [B, F, hop_length + overlap].
        """
        raise NotImplementedError(f"{type(self).__name__} cannot convert a stream")

    def forward(self, batch: VoiceBatch) -> Tensor:
        """Reconstruct the audio [B, T] of a batch from its features, as a conversion would."""
        return self.inference(batch.content, batch.f0_hz, batch.loudness_db, batch.speaker_id)

    def training_pass(self, batch: VoiceBatch, draws: ClipDraws) -> TrainingPass:
        """Generate what the losses compare; every random number comes from `draws`."""
        return TrainingPass(self(batch), batch.audio, {})

    def recompute_blocks(self) -> int:
        """Let the blocks that can be computed again in the backward pass remember less; return how many there are."""
        blocks = [part for part in self.modules() if isinstance(part, RecomputableBlock)]
        for block in blocks:
            block.recompute = True
        return len(blocks)

    def parts_to_compile(self) -> list[nn.Module]:
        """Return the modules that training calls and torch.compile may take; here this one."""
        return [self]

    def describe(self) -> dict[str, Any]:
        """Return plain data about the network for cards and logs."""
        return {
            "class": type(self).__name__,
            "sample_rate": self.sample_rate,
            "content_dim": self.content_dim,
            "num_speakers": self.num_speakers,
            "num_parameters": sum(parameter.numel() for parameter in self.parameters()),
        }

    @property
    def idle_controls(self) -> frozenset[str]:
        """Names of the inputs of forward_audio that this voice, with what is attached, gives nothing to act on."""
        without_retrieval = set() if self.retrieval is not None else {"index_rate", "protect"}
        return frozenset(
            without_retrieval
            | (set() if self.use_f0 else {"pitch_shift"})
            | (set() if self.num_speakers > 1 else {"speaker_id"})
        )

    def attach(self, frontend: nn.Module, retrieval: nn.Module | None, io_rate: int) -> None:
        """Give the model what forward_audio needs besides the generator.

        Args:
            frontend: module from audio [B, F * io_rate / 100] to (content, f0_hz, loudness_db).
            retrieval: module from (content, speaker_id, share) to content, where a share of 0 means that the result is
                not used; None for no retrieval.
            io_rate: samples per second of the audio in and out.
        """
        self.frontend = frontend
        self.retrieval = retrieval
        self.io_rate = io_rate
        self.output_resampler = RationalResampler(self.sample_rate, io_rate)
        self.io_envelope = FramesToSamples(io_rate // FRAME_RATE)

    def forward_audio(
        self,
        audio: Tensor,
        pitch_shift: Tensor,
        speaker_id: Tensor,
        index_rate: Tensor,
        protect: Tensor,
        loudness_mix: Tensor,
    ) -> Tensor:
        """Convert audio to the target voice; this is what is exported.

        Args:
            audio: [B, T] at io_rate, any T >= 1; NaN counts as silence.
            pitch_shift: scalar -36..36, semitones added to the pitch.
            speaker_id: scalar int64; values outside 0..S-1 mean the nearest speaker.
            index_rate: scalar 0..1, share of retrieved content.
            protect: scalar 0..0.5, share of retrieval in unvoiced frames; 0.5 and more means no protection.
            loudness_mix: scalar 0..1; 1 keeps the model's own level, 0 imposes the input's level on each frame.
            A control outside its range counts as the nearest end, NaN as its default.
        Returns:
            [B, T], finite; silent where the input is silent.
        """
        if self.frontend is None or self.output_resampler is None:
            raise RuntimeError("forward_audio needs attach() first")
        hop = self.io_rate // FRAME_RATE
        controls = bounded_controls(Controls(pitch_shift, index_rate, protect, loudness_mix), self.control_defaults)
        finite = torch.where(audio == audio, audio, audio.new_zeros(())).clamp(-INPUT_LIMIT, INPUT_LIMIT)
        whole = _pad_to_whole_frames(finite, hop)
        content, f0_hz, loudness_db = self.frontend(whole)
        speaker = speaker_id.clamp(0, self.num_speakers - 1) + torch.zeros_like(audio[:, 0]).to(torch.int64)
        content = self._retrieve(content, f0_hz, speaker, controls.index_rate, controls.protect)
        shifted = f0_hz * torch.exp2(controls.pitch_shift / 12.0)
        converted = self.output_resampler(self.inference(content, shifted, loudness_db, speaker))
        gain = self._level_gain(converted, whole, controls.loudness_mix)
        gate = ((loudness_db - SILENCE_DB) / GATE_RANGE_DB).clamp(0.0, 1.0)
        return (converted * self.io_envelope(gain * gate))[:, : audio.shape[1]]

    def _retrieve(self, content: Tensor, f0_hz: Tensor, speaker: Tensor, index_rate: Tensor, protect: Tensor) -> Tensor:
        if self.retrieval is None:
            return content + 0.0 * (index_rate + protect)  # keeps both inputs in the graph
        share = torch.where(protect < PROTECT_OFF, protect, protect.new_ones(()))
        weight = index_rate * torch.where(f0_hz > 0, f0_hz.new_ones(()), share)
        blended = content + weight.unsqueeze(-1) * (self.retrieval(content, speaker, index_rate) - content)
        # keep the frame's own length: a blend is shorter than what training saw (sqrt(D) but for foreign encoders)
        power, own = (value.square().mean(dim=-1, keepdim=True) + 1e-8 for value in (blended, content))
        return blended * torch.sqrt(own / power)

    def _level_gain(self, converted: Tensor, source: Tensor, loudness_mix: Tensor) -> Tensor:
        hop = self.io_rate // FRAME_RATE
        source_rms = torch.sqrt(reshape(source, 0, -1, hop).square().mean(-1) + 1e-8)
        converted_rms = torch.sqrt(reshape(converted, 0, -1, hop).square().mean(-1) + 1e-8)
        exponent = 1.0 - loudness_mix
        return torch.exp(exponent * torch.log(source_rms / converted_rms)).clamp(max=10.0)


def _pad_to_whole_frames(audio: Tensor, hop_length: int) -> Tensor:
    """Append zeros to [B, T] up to the next multiple of the hop without a branch on T."""
    padded = nn.functional.pad(audio, (0, hop_length - 1))
    return padded[:, : (padded.shape[1] // hop_length) * hop_length]
