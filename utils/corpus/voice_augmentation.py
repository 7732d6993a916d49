"""Augmentation of training examples: its settings, and how audio and features of one voice are changed together."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import soxr
from pydantic import model_validator

from utils.audio.mono import RESAMPLE_QUALITY
from utils.audio.psola import shift_voice
from utils.config.fields import Number, Section, setting
from utils.corpus.extraction import retime
from utils.errors import ConfigError

SEMITONE = 2.0 ** (1 / 12)


class AugmentationSettings(Section):
    """The group `augmentation`: random changes of training clips; 0 turns a change off."""

    key: ClassVar[str] = "augmentation"

    gain_down_db: Number = setting(0.0, "largest attenuation of audio and loudness", ge=0, le=60)
    gain_up_db: Number = setting(0.0, "largest amplification", ge=0, le=60)
    noise_share: Number = setting(0.0, "share of clips whose content was taken from a noisy copy", ge=0, le=1)
    room_share: Number = setting(0.0, "share of clips whose content was taken from a copy in a room", ge=0, le=1)
    voice_share: Number = setting(0.0, "share of clips whose voice is changed by the next three", ge=0, le=1)
    pitch_semitones: Number = setting(0.0, "largest change of pitch; formants and tempo are kept", ge=0, le=14)
    formant_percent: Number = setting(0.0, "largest change of formants; pitch and tempo are kept", ge=0, le=20)
    speed_percent: Number = setting(0.0, "largest change of playback speed: tempo, pitch and formants", ge=0, le=20)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.voice_share and not (self.pitch_semitones or self.formant_percent or self.speed_percent):
            raise ConfigError(
                f"augmentation.voice_share={self.voice_share:g} changes nothing: set augmentation.pitch_semitones, "
                "formant_percent or speed_percent too, or voice_share=0"
            )
        return self

    @property
    def slowest(self) -> float:
        """Lowest playback speed that can be chosen."""
        return 1.0 - self.speed_percent / 100 if self.voice_share else 1.0

    def change(self, chance: np.ndarray) -> "VoiceChange":
        """Return the change of voice that four uniform numbers in [0, 1) choose."""
        if chance[0] >= self.voice_share:
            return VoiceChange()
        pitch, formant, speed = 2.0 * chance[1:4] - 1.0
        return VoiceChange(
            pitch=float(SEMITONE ** (pitch * self.pitch_semitones)),
            formant=float(1.0 + formant * self.formant_percent / 100),
            speed=float(1.0 + speed * self.speed_percent / 100),
        )


@dataclass(frozen=True)
class VoiceChange:
    """Ratios of the changed to the recorded voice.

    Attributes:
        pitch: of the fundamental frequency alone.
        formant: of the formants alone.
        speed: of the playback speed, which moves tempo, pitch and formants.
    """

    pitch: float = 1.0
    formant: float = 1.0
    speed: float = 1.0

    def frames_after(self, frames: int) -> int:
        """Return how many whole frames this many become."""
        return frames if self.speed == 1.0 else max(1, int(frames / self.speed))

    def frames_before(self, frames: int) -> int:
        """Return how many frames are needed to become this many."""
        return frames if self.speed == 1.0 else int(np.ceil(frames * self.speed))


@dataclass(frozen=True)
class Excerpt:
    """Aligned audio and features of F frames.

    Attributes:
        audio: [F * hop_length] float32.
        content: [F, D] float32.
        f0_hz: [F] float32, 0 in unvoiced frames.
        loudness_db: [F] float32.
    """

    audio: np.ndarray
    content: np.ndarray
    f0_hz: np.ndarray
    loudness_db: np.ndarray


def change_voice(excerpt: Excerpt, change: VoiceChange, *, sample_rate: int, frames: int) -> Excerpt:
    """Change audio and features together, so that the pair stays true: f0 with pitch and speed, all with the tempo.

    Content says what is spoken and stays, but for its tempo: the encoders are trained to leave the speaker out.

    Args:
        excerpt: the recorded voice.
        change: what to do.
        sample_rate: of the audio.
        frames: F of the result, at most change.frames_after(F of the excerpt).
    """
    hop = len(excerpt.audio) // len(excerpt.f0_hz)
    audio = shift_voice(
        excerpt.audio,
        excerpt.f0_hz,
        sample_rate=sample_rate,
        pitch_ratio=change.pitch,
        formant_ratio=change.formant,
    )
    f0_hz = excerpt.f0_hz * np.float32(change.pitch * change.speed)
    if change.speed == 1.0:
        parts = (excerpt.content, f0_hz, excerpt.loudness_db)
        return Excerpt(audio[: frames * hop], *(part[:frames] for part in parts))
    played = soxr.resample(audio, sample_rate * change.speed, sample_rate, quality=RESAMPLE_QUALITY)[: frames * hop]
    # frame i of the result is centred at (i + 0.5) / 100 s, which the recording has at that time x speed
    position = (np.arange(frames) + 0.5) * change.speed - 0.5
    position = np.clip(position, 0, len(f0_hz) - 1)
    return Excerpt(
        audio=np.pad(played, (0, frames * hop - len(played))).astype(np.float32),
        content=retime(excerpt.content, frames, 1.0 / change.speed),
        f0_hz=f0_hz[np.rint(position).astype(np.int64)],  # not interpolated: 0 is no frequency
        loudness_db=np.interp(position, np.arange(len(f0_hz)), excerpt.loudness_db).astype(np.float32),
    )
