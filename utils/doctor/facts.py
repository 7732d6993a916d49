"""What is known of each recording and each voice of a dataset before anything is judged."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from utils.audio.frames import FRAME_RATE
from utils.corpus.store import CorpusStore
from utils.doctor.coverage import coverage
from utils.doctor.measures import SoundMeasures

F0_EDGES = np.geomspace(50.0, 1100.0, 49)  # Hz; of the histogram, about a semitone each


@dataclass(frozen=True)
class FileFacts:
    """A recording that the dataset uses.

    Attributes:
        source: its path below dataset.source.
        speaker: who speaks.
        used_seconds: length of its clips.
        voiced_seconds: of these, with a pitch.
        loudness_lufs: before the gain; None where unknown.
        copy_of: an earlier recording that it shares sound with; None where there is none.
        sound: what was measured of the file itself; None where it is not there any more.
        similarity: cosine of its speaker embedding with the median of the speaker's; None where not computed.
    """

    source: str
    speaker: str
    used_seconds: float
    voiced_seconds: float
    loudness_lufs: float | None = None
    copy_of: str | None = None
    sound: SoundMeasures | None = None
    similarity: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class VoiceFacts:
    """A speaker of the dataset.

    Attributes:
        name: of the speaker.
        minutes: length of all clips.
        voiced_minutes: of these, with a pitch.
        f0_hz: the 5th, 50th and 95th percentile of the pitch; empty where there is none.
        f0_histogram: seconds of voiced speech between neighbours of F0_EDGES.
        loudness_spread_db: standard deviation of the recordings' loudness before their gain.
        bandwidth_hz: median of the recordings; None where none could be measured.
        coverage: share of the sounds of speech that the recordings hold; None with a content encoder of others.
    """

    name: str
    minutes: float
    voiced_minutes: float
    f0_hz: tuple[float, ...]
    f0_histogram: tuple[float, ...]
    loudness_spread_db: float
    bandwidth_hz: float | None
    coverage: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def file_facts(store: CorpusStore, report: dict[str, Any]) -> list[FileFacts]:
    """Return what the dataset and its report say of each recording, in the order of the dataset."""
    rows = {(row["speaker"], row["source"]): row for row in report["files"]}
    lengths: dict[tuple[str, str], list[float]] = {}
    for clip in store.clips:
        seconds = lengths.setdefault((clip.speaker, clip.source), [0.0, 0.0])
        seconds[0] += clip.duration_seconds
        seconds[1] += int(np.count_nonzero(store.feature("f0_hz", clip))) / FRAME_RATE
    found = []
    for (speaker, source), (used, voiced) in lengths.items():
        row = rows.get((speaker, source), {})
        found.append(FileFacts(source, speaker, used, voiced, row.get("loudness_lufs"), row.get("copy_of")))
    return found


def voice_facts(store: CorpusStore, files: list[FileFacts]) -> list[VoiceFacts]:
    """Return what the recordings of each speaker amount to."""
    return [_voice(store, name, [file for file in files if file.speaker == name]) for name in store.speakers]


def _voice(store: CorpusStore, name: str, files: list[FileFacts]) -> VoiceFacts:
    f0_hz = np.concatenate([store.feature("f0_hz", clip) for clip in store.clips if clip.speaker == name])
    f0_hz = f0_hz[f0_hz > 0]
    counts = np.histogram(f0_hz.clip(F0_EDGES[0], F0_EDGES[-1]), F0_EDGES)[0]
    levels = [file.loudness_lufs for file in files if file.loudness_lufs is not None]
    bands = [file.sound.bandwidth_hz for file in files if file.sound is not None]
    return VoiceFacts(
        name=name,
        minutes=sum(file.used_seconds for file in files) / 60,
        voiced_minutes=len(f0_hz) / FRAME_RATE / 60,
        f0_hz=tuple(float(value) for value in np.percentile(f0_hz, [5, 50, 95])) if len(f0_hz) else (),
        f0_histogram=tuple(float(count) / FRAME_RATE for count in counts),
        loudness_spread_db=float(np.std(levels)) if levels else 0.0,
        bandwidth_hz=float(np.median(bands)) if bands else None,
        coverage=coverage(store, name),
    )
