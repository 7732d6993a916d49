"""A teacher: a voice that converts the recordings of a dataset, whose audio is then the teacher's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from utils.files import sha256_of_json

# Raise it when the same teacher gives other audio for the same recording.
TEACHING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TeacherDescription:
    """Where the audio of a dataset comes from that a teacher made.

    Attributes:
        name: of the voice.
        file: name of its graph.
        sha256: of the graph.
        speaker: which one of the voice's speakers.
        speaker_id: its number; None: the voice's own choice.
        pitch_shift: semitones, "auto" or "auto_octave".
        target_median_hz: to which an automatic shift brings each recording; None where it is a number.
        controls: its other controls that were asked for.
        licence: of the voice.
        consent: whose voice it is and what they agreed to.
        recordings: fingerprint of the waveforms of the recordings themselves.
    """

    name: str
    file: str
    sha256: str
    speaker: str
    speaker_id: int | None
    pitch_shift: str | float
    target_median_hz: float | None
    controls: Mapping[str, float] = field(default_factory=dict)
    licence: str
    consent: str
    recordings: str = ""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that shapes the waveforms that it makes."""
        shape = {"sha256": self.sha256, "speaker_id": self.speaker_id, "controls": dict(self.controls)}
        return sha256_of_json({"version": TEACHING_VERSION, "recordings": self.recordings, **shape, **self._pitch})

    def moved(self, fingerprint: str) -> str:
        """Return the fingerprint of a pitch that is moved as the teacher was told, from that of the recordings'."""
        return sha256_of_json({"version": TEACHING_VERSION, "of": fingerprint, **self._pitch})

    @property
    def _pitch(self) -> dict[str, Any]:
        return {"pitch_shift": self.pitch_shift, "target_median_hz": self.target_median_hz}

    @property
    def words(self) -> str:
        """Say in a line whose voice it is."""
        return (
            f"the audio is that of the voice {self.name}, speaker {self.speaker}, which converted the recordings; its "
            f"licence: {self.licence}; consent: {self.consent}"
        )


class Teacher(Protocol):
    """A voice that converts recordings; it is pickled into the worker processes."""

    @property
    def description(self) -> TeacherDescription:
        """What it is, and how it converts."""
        ...

    def shift_for(self, audio: np.ndarray, sample_rate: int) -> float:
        """Return the semitones by which the pitch of a recording [T] float32 is moved."""
        ...

    def convert(self, audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """Return [T] float32, as the teacher says audio [T] with its pitch moved by semitones."""
        ...
