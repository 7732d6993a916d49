"""The contract of an architecture: what every voice-conversion model offers to training and export."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, overload

from torch import Tensor, nn

from models.clip_random import ClipRandom
from models.conversion import AudioConverter, Frontend, Retrieval
from models.layers.controls import Controls
from models.layers.overlap import LowDelayTransform
from models.layers.recompute import RecomputableBlock
from models.layers.stream_memory import Memory
from utils.audio.batch import VoiceBatch
from utils.audio.frames import FRAME_RATE
from utils.audio.graph_form import in_graph_parts
from utils.audio.resample import RationalResampler
from utils.errors import ExportError


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

    A subclass implements `inference`; training calls `training_pass`, validation `forward`, and what is exported is an
    AudioConverter around it.

    Attributes:
        forms: dotted path of what makes each other form of the network, by kind; see `form`.
        training_terms: names of the losses of its own that training_pass returns.
        use_f0: whether the pitch, and so pitch_shift, reaches the output.
        needs_context: whether the architecture is meant to be given sound before and after what is wanted, so that
            blocks converted by themselves may meet with a click.
        is_for_streams: whether it can be exported as a streaming graph alone.
        reads_audio: whether the recording itself is its content, [B, F, hop_length] samples at its rate; it needs no
            content encoder, no pitch and no retrieval then.

    Args:
        sample_rate: samples per second of the generated audio, a multiple of 100.
        content_dim: D, size of a content vector.
        num_speakers: S, speakers that speaker_id may name.
    """

    forms: ClassVar[Mapping[str, str]] = {}
    training_terms: ClassVar[tuple[str, ...]] = ()
    needs_context: ClassVar[bool] = False
    is_for_streams: ClassVar[bool] = False
    reads_audio: ClassVar[bool] = False
    use_f0: bool = True

    def __init__(self, *, sample_rate: int, content_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = sample_rate // FRAME_RATE
        self.content_dim = content_dim
        self.num_speakers = num_speakers

    @property
    def special_controls(self) -> tuple[str, ...]:
        """Names of utils.voice_file.controls.SPECIAL_CONTROLS that `inference` also takes, as scalars or None."""
        return ()

    @abstractmethod
    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio.

        Args:
            content: [B, F, D]; see reads_audio.
            f0_hz: [B, F], 0 in unvoiced frames.
            loudness_db: [B, F], dB relative to full scale.
            speaker_id: [B] int64.
        Returns:
            [B, F * hop_length], about -1 to 1.
        """

    def forward(self, batch: VoiceBatch) -> Tensor:
        """Reconstruct the audio [B, T] of a batch from its features, as a conversion would."""
        return self.inference(self.content_of(batch), batch.f0_hz, batch.loudness_db, batch.speaker_id)

    def content_of(self, batch: VoiceBatch) -> Tensor:
        """Return what `inference` reads of a batch: its content, or its audio in frames, see reads_audio."""
        return batch.audio.reshape(len(batch.audio), -1, self.hop_length) if self.reads_audio else batch.content

    def training_pass(self, batch: VoiceBatch, clip_random: ClipRandom) -> TrainingPass:
        """Generate what the losses compare; every random number is one of `clip_random`."""
        return TrainingPass(self(batch), batch.audio, {})

    def fit_weights(self, weights: dict[str, Tensor]) -> str:
        """Change weights of the same network for another sample rate to this one's, in place, where that can be done.

        Args:
            weights: tensors by name, as they are in a file.
        Returns:
            What was done, for a line of the log; empty where nothing was.
        """
        return ""

    def recompute_blocks(self) -> int:
        """Let the blocks that can be computed again in the backward pass remember less; return how many there are."""
        blocks = [part for part in self.modules() if isinstance(part, RecomputableBlock)]
        for block in blocks:
            block.recompute = True
        return len(blocks)

    @overload
    def form(self, kind: Literal["stream"]) -> "StreamForm": ...
    @overload
    def form(self, kind: str) -> nn.Module: ...
    def form(self, kind: str) -> nn.Module:
        """Return the same network, with the same weights, as it is for another purpose.

        Args:
            kind: "graph", in the operators that runtimes run fast (models/export_forms); where `forms` names none, the
                network with layers that have such a form; or "stream" (models/streams); or what else `forms` names.
        Raises:
            ExportError: if there is none.
        """
        if kind in self.forms:
            module, _, name = self.forms[kind].rpartition(".")
            made: nn.Module = getattr(importlib.import_module(module), name)(self)
            return made
        if kind == "graph":
            return in_graph_parts(self)
        raise no_form(self, kind)

    def graph_form(self) -> nn.Module:
        """Return the form of an exported graph, as layers do; see utils/audio/graph_form.py."""
        return self.form("graph")

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

    def forward_audio(
        self,
        audio: Tensor,
        controls: Controls,
        *,
        frontend: Frontend,
        retrieval: Retrieval | None = None,
        resampler: RationalResampler | None = None,
    ) -> Tensor:
        """Convert audio [B, T] to the target voice with the parts that AudioConverter, which is exported, has inside.

        Args:
            audio: at the target rate of the resampler.
            controls: scalars.
            frontend: from that audio to features.
            retrieval: None for none.
            resampler: from the model's rate to that of the audio; None where they are one.
        Returns:
            [B, T].
        """
        own_rate = resampler or RationalResampler(self.sample_rate, self.sample_rate)
        converted: Tensor = AudioConverter(self, frontend, retrieval, own_rate)(audio, *controls)
        return converted


class StreamForm(nn.Module):
    """A network as a stream: from features of the past alone to windowed pieces of audio, which `transform` adds up.

    Args:
        voice: whose facts hold for the form, too.
        transform: puts the pieces together, by its `add`.
    """

    def __init__(self, voice: BaseVoiceConversionModel, transform: LowDelayTransform) -> None:
        super().__init__()
        self.sample_rate, self.num_speakers, self.use_f0 = voice.sample_rate, voice.num_speakers, voice.use_f0
        self.transform = transform

    @abstractmethod
    def pieces(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory) -> Tensor:
        """Generate the next pieces of audio.

        Args:
            content: [B, F, D], one frame older than loudness_db.
            f0_hz: [B, F], one frame older than loudness_db; 0 in unvoiced frames.
            loudness_db: [B, F], dB relative to full scale.
            speaker_id: [B] int64.
            memory: of the stream.
        Returns:
            [B, F, hop_length + overlap].
        """


def no_form(voice: BaseVoiceConversionModel, kind: str) -> ExportError:
    """Return the error of a network that has no form of a kind."""
    if kind != "stream":
        return ExportError(f"{type(voice).__name__} has no form {kind!r}")
    return ExportError(
        f"{type(voice).__name__} cannot convert a stream: leave stream out of export.graph_kinds, or train model=lite"
    )
