"""Any voice that this program can open, as the teacher of a dataset."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.audio.io import resample
from utils.config.preprocess import PreprocessJob, TeacherSettings
from utils.corpus.teacher import TeacherDescription
from utils.errors import ConfigError, WorkbenchError
from utils.files import sha256_of_file
from utils.inference.opened_voice import OpenedVoice, open_voice, speaker_number_of
from utils.inference.options import ConversionOptions
from utils.inference.pipeline import convert
from utils.inference.session import VoiceSession
from utils.inference.source import ArraySound

DEVICE = "cpu"
RATES = (16000, 24000, 32000, 40000, 48000)  # of audio=<option>
NOT_STATED = "not stated"
PITCH = "pitch_shift"


@dataclass(frozen=True)
class VoiceTeacher:
    """An exported voice that converts recordings; see utils.corpus.teacher.Teacher.

    Attributes:
        graph: the exported voice.
        description: what it is, and how it converts.
    """

    graph: Path
    description: TeacherDescription

    def shift_for(self, audio: np.ndarray, sample_rate: int) -> float:
        """Return the semitones by which the pitch of a recording [T] float32 is moved."""
        asked = self.description.pitch_shift
        if not isinstance(asked, str):
            return float(asked)
        voice = _opened(self.graph)
        sound = ArraySound(resample(audio, sample_rate, voice.sample_rate))
        options = ConversionOptions(pitch_shift_semitones="auto_octave" if asked == "auto_octave" else "auto")
        return voice.shift_for(sound, options, self._controls)

    def convert(self, audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        """Return [T] float32, as the teacher says audio [T] with its pitch moved by semitones."""
        voice = _opened(self.graph)
        given = resample(audio, sample_rate, voice.sample_rate)
        controls = self._controls | ({PITCH: semitones} if voice.session.has_control(PITCH) else {})
        made = resample(convert(voice, given, controls), voice.sample_rate, sample_rate)[: len(audio)]
        return np.pad(made, (0, len(audio) - len(made)))

    @property
    def _controls(self) -> dict[str, float]:
        speaker_id = self.description.speaker_id
        return dict(self.description.controls) | ({} if speaker_id is None else {"speaker_id": float(speaker_id)})


def open_teacher(job: PreprocessJob) -> VoiceTeacher | None:
    """Return the teacher that a job asks for, or None; a run, checkpoint or .pth is exported once.

    Raises:
        WorkbenchError: in one line, if it cannot be opened, makes less than the dataset's rate, or does not have what
            the section `teacher` asks for.
    """
    if job.dataset.teacher is None:
        return None
    try:
        voice = open_voice(
            job.dataset.teacher,
            device=DEVICE,
            num_threads=1,
            cpu_retry=False,
            index=job.teacher.index,
            export_options=job.teacher.options,
            cache=None,
        )
        _require_rate(voice.session, job.audio.sample_rate)
        return VoiceTeacher(voice.session.path, _describe(voice, job.teacher))
    except WorkbenchError as error:
        raise type(error)(f"dataset.teacher={job.dataset.teacher}: {error.lines[0]}", hint=error.hint) from error


def _require_rate(session: VoiceSession, wanted: int) -> None:
    """Refuse a teacher whose sound ends below that of the dataset."""
    metadata = session.metadata
    rate = min(session.sample_rate, metadata.model_rate if metadata else session.sample_rate)
    if rate < wanted:
        fitting = [known for known in RATES if known <= rate]
        remedy = f"type audio={fitting[-1] // 1000}k" if fitting else "take another teacher"
        raise ConfigError(f"it makes sound at {rate} Hz, and audio.sample_rate={wanted} asks for more; {remedy}")


def _describe(voice: OpenedVoice, asked: TeacherSettings) -> TeacherDescription:
    session = voice.session
    metadata, names = session.metadata, session.speakers
    chosen = None if asked.speaker is None else speaker_number_of(session, asked.speaker, "teacher.speaker")
    number = chosen if chosen is not None else int(metadata.defaults["speaker_id"]) if metadata else 0
    shift, median_hz = _pitch_of(session, asked.pitch_shift, number)
    options = ConversionOptions(
        pitch_shift_semitones=0.0 if isinstance(shift, str) else shift,
        speaker=chosen,
        index_rate=asked.index_rate,
        protect=asked.protect,
    )
    controls = {name: value for name, value in voice.controls_of(options).items() if name not in (PITCH, "speaker_id")}
    return TeacherDescription(
        name=session.name,
        file=session.path.name,
        sha256=sha256_of_file(session.path),
        speaker=names[number] if number < len(names) else session.name,
        speaker_id=chosen,
        pitch_shift=shift,
        target_median_hz=median_hz,
        controls=controls,
        licence=asked.licence or (metadata.licence if metadata else NOT_STATED),
        consent=asked.consent or (metadata.consent if metadata else NOT_STATED),
    )


def _pitch_of(session: VoiceSession, asked: str | float | None, speaker_id: int) -> tuple[str | float, float | None]:
    """Return how the pitch is moved, and for an automatic shift the median that it leads to.

    Raises:
        ConfigError: if that is automatic and the voice does not tell its median pitch.
    """
    is_told = session.has_control(PITCH) and PITCH not in session.idle_controls
    if asked is None:
        asked = "auto" if is_told else 0.0
    if not isinstance(asked, str):
        return float(asked), None
    median_hz = session.f0_median_hz(speaker_id)
    if not is_told or median_hz is None:
        reason = "does not tell its median pitch" if is_told else "is not told the pitch"
        raise ConfigError(f"teacher.pitch_shift={asked}: it {reason}; type teacher.pitch_shift=<semitones>, such as 0")
    return asked, median_hz


@lru_cache(maxsize=1)
def _opened(graph: Path) -> OpenedVoice:
    """Return a voice of this process, which converts one recording after the other with it."""
    return OpenedVoice(graph, device=DEVICE, num_threads=1, cpu_retry=False)
