"""Conversion of audio around a generator: from samples to features, to the generator, and back to samples.

The parts that whole recordings and streams share stand below AudioConverter, once.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.layers.automatic_pitch import AutomaticPitch
from models.layers.controls import Controls, bounded_controls, bounded_special
from models.layers.frames import FramesToSamples
from utils.audio.decoder import BROKEN_LEVEL
from utils.audio.frames import FRAME_RATE
from utils.audio.highpass import HighPass
from utils.audio.loudness import FLOOR_DB
from utils.audio.resample import RationalResampler
from utils.audio.reshaping import reshape
from utils.voice_file.controls import SPEAKER_CONTROLS, ControlDefaults

SILENCE_DB = FLOOR_DB + 8.0  # below this the output is silent
GATE_RANGE_DB = 6.0  # the output fades in over this range above SILENCE_DB
INPUT_LIMIT = 8.0  # larger samples are cut to this before analysis
PROTECT_OFF = 0.5  # at this value retrieval also touches unvoiced frames (the RVC convention)
SMALL_POWER = 1e-8  # added before a quotient of powers or a root of one
MAX_LEVEL_GAIN = 10.0


class Generator(Protocol):
    """What conversion needs of a network, see BaseVoiceConversionModel.

    One that has `special_controls`, names of utils.voice_file.controls, is given their values by name, as scalars.
    """

    num_speakers: int
    use_f0: bool

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Return audio [B, F * hop_length] of content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        ...


class Frontend(Protocol):
    """From audio to features; a module."""

    def __call__(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return content [B, F, D], f0_hz [B, F] (0 = unvoiced), loudness_db [B, F] of audio [B, F * io_rate / 100]."""
        ...


class Retrieval(Protocol):
    """From content to like content of the target speaker; a module."""

    def __call__(self, content: Tensor, speaker_id: Tensor, share: Tensor) -> Tensor:
        """Return [B, F, D] of content [B, F, D] and speaker_id [B]; of a share of 0 the result is not used."""
        ...


class AudioConverter(nn.Module):
    """A voice from audio to audio: what is exported as a graph for recordings.

    Args:
        generator: the network.
        frontend: from audio at the rate of input and output to features.
        retrieval: None for a voice without.
        resampler: from the generator's rate to that of input and output.
        defaults: what counts for a control that is NaN.
        highpass: what the recordings of the training went through, at the rate of input and output; None for none.
        automatic_pitch: what chooses a pitch_shift that is NaN; None: the default.
    """

    def __init__(
        self,
        generator: Generator,
        frontend: Frontend,
        retrieval: Retrieval | None,
        resampler: RationalResampler,
        *,
        defaults: ControlDefaults | None = None,
        highpass: HighPass | None = None,
        automatic_pitch: AutomaticPitch | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.frontend = frontend
        self.retrieval = retrieval
        self.resampler = resampler
        self.envelope = FramesToSamples(resampler.target_rate // FRAME_RATE)
        self.defaults = defaults or ControlDefaults()
        self.highpass = highpass
        self.special_controls: tuple[str, ...] = getattr(generator, "special_controls", ())
        self.automatic_pitch = automatic_pitch

    @property
    def io_rate(self) -> int:
        """Samples per second of the audio in and out."""
        return self.resampler.target_rate

    @property
    def idle_controls(self) -> frozenset[str]:
        """Names of the controls that this voice gives nothing to act on."""
        idle = set() if self.retrieval is not None else {"index_rate", "protect"}
        idle |= set() if self.generator.use_f0 else {"pitch_shift"}
        alone = SPEAKER_CONTROLS & {"speaker_id", *self.special_controls}
        return frozenset(idle | (set() if self.generator.num_speakers > 1 else alone))

    def forward(
        self,
        audio: Tensor,
        pitch_shift: Tensor,
        speaker_id: Tensor,
        index_rate: Tensor,
        protect: Tensor,
        loudness_mix: Tensor,
        *special: Tensor,
    ) -> Tensor:
        """Convert audio to the target voice.

        Args:
            audio: [B, T] at io_rate, any T >= 1; what is no number counts as silence.
            pitch_shift: this and the others are scalars, see Controls; outside its range counts the nearest end, for
                NaN the default.
            special: scalars, the controls that the network of this voice adds; none at all leaves it to the network.
        Returns:
            [B, T], finite; silent where the input is silent.
        """
        given = Controls(pitch_shift, speaker_id, index_rate, protect, loudness_mix)
        controls = bounded_controls(given, self.defaults, self.generator.num_speakers)
        whole = self._conditioned(finite_audio(audio))
        content, f0_hz, loudness_db = self.frontend(whole)
        speaker = controls.speaker_id + torch.zeros_like(audio[:, 0]).to(torch.int64)
        content = self._retrieve(content, f0_hz, speaker, controls)
        if self.automatic_pitch is not None:
            controls = with_automatic_pitch(controls, given, self.automatic_pitch(f0_hz, speaker))
        added = bounded_special(self.special_controls, special, self.generator.num_speakers)
        generate: Any = self.generator.inference
        generated: Tensor = generate(content, shifted_pitch(f0_hz, controls), loudness_db, speaker, **added)
        converted = self.resampler(generated)
        gain = self._level_gain(converted, whole, controls.loudness_mix) * silence_gate(loudness_db)
        shaped: Tensor = (converted * self.envelope(gain))[:, : audio.shape[1]]
        return shaped

    def _conditioned(self, audio: Tensor) -> Tensor:
        """Return what is analysed of audio [B, T], [B, F * hop]: as preprocessing makes it of recordings."""
        hop = self.io_rate // FRAME_RATE
        if self.highpass is None:
            return _whole_frames(audio, hop)
        filtered: Tensor = self.highpass(_whole_frames(self.highpass.centred(audio), hop))
        return filtered

    def _retrieve(self, content: Tensor, f0_hz: Tensor, speaker: Tensor, controls: Controls) -> Tensor:
        if self.retrieval is None:
            return without_retrieval(content, controls)
        step = self.retrieval(content, speaker, controls.index_rate) - content
        return blended_content(content, step, f0_hz, controls)

    def _level_gain(self, converted: Tensor, source: Tensor, loudness_mix: Tensor) -> Tensor:
        """Return [B, F] from two signals [B, F * hop]."""
        hop = self.io_rate // FRAME_RATE
        wanted, made = (
            torch.sqrt(reshape(signal, 0, -1, hop).square().mean(-1) + SMALL_POWER) for signal in (source, converted)
        )
        return level_gain(wanted, made, 1.0 - loudness_mix)


def finite_audio(audio: Tensor) -> Tensor:
    """Return audio [B, T] with 0 for NaN and beyond BROKEN_LEVEL, as preprocessing has it, and within INPUT_LIMIT."""
    return torch.where(audio.abs() <= BROKEN_LEVEL, audio, audio.new_zeros(())).clamp(-INPUT_LIMIT, INPUT_LIMIT)


def shifted_pitch(f0_hz: Tensor, controls: Controls) -> Tensor:
    """Return f0_hz [B, F] higher by pitch_shift semitones."""
    return f0_hz * torch.exp2(controls.pitch_shift / 12.0)


def with_automatic_pitch(controls: Controls, given: Controls, semitones: Tensor) -> Controls:
    """Return controls with a pitch_shift [B, 1] or [B, F] of so many semitones where the one given is NaN."""
    is_given = given.pitch_shift == given.pitch_shift
    return controls._replace(pitch_shift=torch.where(is_given, controls.pitch_shift, semitones))


def blended_content(content: Tensor, step: Tensor, f0_hz: Tensor, controls: Controls) -> Tensor:
    """Blend content with what was retrieved for it, in unvoiced frames in the share that protect allows.

    Args:
        content: [B, F, D] of the input.
        step: [B, F, D], what was retrieved less the content.
        f0_hz: [B, F].
        controls: index_rate and protect count.
    Returns:
        [B, F, D], each vector as long as the input's own.
    """
    protect = controls.protect
    share = torch.where(protect < PROTECT_OFF, protect, protect.new_ones(()))
    weight = controls.index_rate * torch.where(f0_hz > 0, f0_hz.new_ones(()), share)
    blended = content + weight.unsqueeze(-1) * step
    # a blend is shorter than what training saw: sqrt(D) but for the encoders of others
    power, own = (value.square().mean(dim=-1, keepdim=True) + SMALL_POWER for value in (blended, content))
    return blended * torch.sqrt(own / power)


def without_retrieval(content: Tensor, controls: Controls) -> Tensor:
    """Return the content as it is; index_rate and protect remain inputs of an exported graph."""
    return content + 0.0 * (controls.index_rate + controls.protect)


def level_gain(wanted: Tensor, made: Tensor, exponent: Tensor) -> Tensor:
    """Return the gain that brings one level towards another, at most MAX_LEVEL_GAIN.

    Args:
        wanted: level of the input.
        made: level of the output, of the same kind and shape.
        exponent: 1 - loudness_mix for amplitudes, half of it for powers.
    """
    return torch.exp(exponent * torch.log(wanted / made)).clamp(max=MAX_LEVEL_GAIN)


def silence_gate(loudness_db: Tensor) -> Tensor:
    """Return the gain of each frame [B, F] that keeps silence silent."""
    return ((loudness_db - SILENCE_DB) / GATE_RANGE_DB).clamp(0.0, 1.0)


def _whole_frames(audio: Tensor, hop_length: int) -> Tensor:
    """Append zeros to [B, T] up to the next multiple of the hop without a branch on T."""
    padded = nn.functional.pad(audio, (0, hop_length - 1))
    return padded[:, : (padded.shape[1] // hop_length) * hop_length]
