"""Augmentation of training examples: its settings, and how audio and features of one voice are changed together."""

from dataclasses import dataclass, fields

import numpy as np
import soxr

from utils.audio.io import RESAMPLE_QUALITY
from utils.audio.psola import shift_voice
from utils.config import check_range
from utils.corpus.extraction import retime
from utils.errors import ConfigError

SEMITONE = 2.0 ** (1 / 12)


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """The `augmentation` group; a value of 0 turns one off. docs/guides/data.md says what each is good for.

    Attributes:
        gain_down_db: largest attenuation of audio and loudness.
        gain_up_db: largest amplification.
        noise_share: share of clips whose content was taken from a noisy copy.
        room_share: share of clips whose content was taken from a copy in a room.
        voice_share: share of clips whose voice is changed by the next three.
        pitch_semitones: largest change of the fundamental frequency, formants and tempo kept.
        formant_percent: largest change of the formants, pitch and tempo kept.
        speed_percent: largest change of the playback speed: tempo, pitch and formants together.
    """

    gain_down_db: float = 0.0
    gain_up_db: float = 0.0
    noise_share: float = 0.0
    room_share: float = 0.0
    voice_share: float = 0.0
    pitch_semitones: float = 0.0
    formant_percent: float = 0.0
    speed_percent: float = 0.0

    def __post_init__(self) -> None:
        highest = {"gain_down_db": 60.0, "gain_up_db": 60.0, "pitch_semitones": 6.0}
        highest |= {"formant_percent": 20.0, "speed_percent": 20.0}
        for item in fields(self):
            check_range(f"augmentation.{item.name}", getattr(self, item.name), 0, highest.get(item.name, 1.0))
        if self.voice_share and not (self.pitch_semitones or self.formant_percent or self.speed_percent):
            raise ConfigError(
                f"augmentation.voice_share={self.voice_share:g} changes nothing: set augmentation.pitch_semitones, "
                "formant_percent or speed_percent too, or voice_share=0"
            )

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
