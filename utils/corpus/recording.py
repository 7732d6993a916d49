"""What preprocessing knows of one recording."""

from dataclasses import asdict, dataclass, field
from typing import Any

from utils.audio.frames import FRAME_RATE
from utils.corpus.slicing import Span


@dataclass
class Recording:
    """What was found in one file; the waveform of its clips lies in an array beside it.

    Attributes:
        problem: why nothing of it is used; None if it is.
        notes: what the user should know although it is used.
        checksum: SHA-256 of the decoded samples: equal for copies in another lossless format.
        seconds: length of the recording.
        decoder: the library that read it.
        loudness_lufs: integrated loudness before the gain; None where silent.
        gain_db: the gain of the whole file.
        clips: frames [first, end) of each clip in the recording.
        num_samples: length at the dataset's rate; the last clip may end beyond it, padded with zeros.
        sound_print: how its clips sound, see utils.corpus.sound_print; None where that was not looked at yet.
    """

    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    checksum: str = ""
    seconds: float = 0.0
    decoder: str = ""
    loudness_lufs: float | None = None
    gain_db: float = 0.0
    clips: list[Span] = field(default_factory=list)
    num_samples: int = 0
    sound_print: str | None = None

    @property
    def num_frames(self) -> int:
        """Frames of all clips together."""
        return sum(clip.length for clip in self.clips)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"clips": [[clip.first, clip.end] for clip in self.clips]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Recording":
        """Rebuild from to_plain."""
        return cls(**plain | {"clips": [Span(first, end) for first, end in plain["clips"]]})


def clip_seconds(recording: Recording, clip: Span, sample_rate: int) -> float:
    """Return the length of a clip without the zeros behind the end of the recording."""
    return min(clip.length / FRAME_RATE, recording.num_samples / sample_rate - clip.first / FRAME_RATE)


@dataclass(frozen=True)
class Lesson:
    """What a teacher made of one recording; the waveform of its clips lies in an array beside it.

    Attributes:
        pitch_shift: semitones by which the pitch was moved.
        problem: why nothing of it is used; None if it is.
        loudness_lufs: of what the teacher made, before the gain.
        gain_db: the gain of all of it.
    """

    pitch_shift: float
    problem: str | None = None
    loudness_lufs: float | None = None
    gain_db: float = 0.0
