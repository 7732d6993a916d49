"""One preprocessing: its recordings, and what its stages share."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from utils.config.preprocess import PreprocessJob
from utils.corpus.cache import Cache
from utils.corpus.description import FeatureDescription
from utils.corpus.extraction import FeatureExtractor
from utils.corpus.fingerprints import feature_fingerprints, reading_fingerprint
from utils.corpus.packed_reader import PackedResults
from utils.corpus.recording import Lesson, Recording
from utils.corpus.report import WorkReport
from utils.corpus.sources import SourceFile, SourceListing, find_sources
from utils.corpus.teacher import Teacher, TeacherDescription


@dataclass
class Entry:
    """A recording on its way into the dataset.

    Attributes:
        file: where it is.
        key: hash of the file, its place in the cache; empty where it cannot be read.
        stamp: modification time in ns and size in bytes when it was hashed.
        recording: what was read; None before that, or where reading failed.
        problem: why it is dropped; None while it is not.
        notes: what the user should know although it is used.
        is_copy: whether it is dropped for an equal one.
        copy_of: an earlier recording that it shares sound with, below the source; None where there is none.
        lesson: what the teacher made of it; None before that, and without one.
    """

    file: SourceFile
    key: str = ""
    stamp: tuple[int, int] = (0, 0)
    recording: Recording | None = None
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    is_copy: bool = False
    copy_of: str | None = None
    lesson: Lesson | None = None


@dataclass
class Run:
    """What the stages of one preprocessing share.

    Attributes:
        job: what is asked for.
        listing: what the source holds.
        features: each feature of the dataset, by name.
        reading: fingerprint of the recordings' waveforms.
        work: what was done so far.
        started: clock at the start.
        seconds_before: time that the shards of a merge took.
        teacher: converts the recordings; None: they are the audio of the dataset themselves.
    """

    job: PreprocessJob
    listing: SourceListing
    features: dict[str, FeatureDescription]
    reading: str
    work: WorkReport
    started: float
    seconds_before: float = 0.0
    teacher: Teacher | None = None

    @cached_property
    def cache(self) -> Cache:
        """Where the results of single recordings lie; first used when the dataset is locked."""
        fingerprints = {name: item.fingerprint for name, item in self.features.items()}
        folder, is_taught = self.job.folder, self.teacher is not None
        recorded = self.reading if is_taught else None
        packed = PackedResults.open(folder, self.waveforms, fingerprints, self.hop_length, recorded=recorded)
        return Cache(folder / "cache", self.reading, fingerprints, packed, self.waveforms if is_taught else None)

    @property
    def hop_length(self) -> int:
        """Samples of a frame."""
        return self.job.audio.hop_length

    @property
    def lessons(self) -> TeacherDescription | None:
        """The teacher with the recordings that it converts; None without one."""
        return replace(self.teacher.description, recordings=self.reading) if self.teacher else None

    @property
    def waveforms(self) -> str:
        """Fingerprint of the audio that the dataset will have."""
        return self.lessons.fingerprint if self.lessons else self.reading

    def finished_work(self) -> WorkReport:
        """Return what was done, with the time until now."""
        self.work.seconds = self.seconds_before + time.monotonic() - self.started
        return self.work


def begin(job: PreprocessJob, teacher: Teacher | None = None) -> tuple[Run, list[Entry]]:
    """Look at the source and the settings; nothing is computed yet.

    Args:
        job: what is asked for.
        teacher: converts the recordings; all of them are of its speaker then.
    Returns:
        What the stages share, and every recording in the order of the dataset.
    Raises:
        DataError: if the source is missing or holds no recording.
    """
    started = time.monotonic()
    speaker = job.dataset.speaker or (teacher.description.speaker if teacher else None)
    listing = find_sources(job.source, speaker, exclude=job.folder, leave_out=job.dataset.exclude)
    features = describe_features(job)
    if teacher is not None:
        pitch = features["f0_hz"]
        features["f0_hz"] = replace(pitch, fingerprint=teacher.description.moved(pitch.fingerprint))
    work = WorkReport(features=dict.fromkeys(features, 0))
    reading = reading_fingerprint(job.audio, job.preprocess)
    run = Run(job, listing, features, reading, work, started, teacher=teacher)
    return run, [Entry(file) for file in listing.files]


def describe_features(job: PreprocessJob) -> dict[str, FeatureDescription]:
    """Build the encoder and the tracker and describe each feature that the dataset will have, by name."""
    content, pitch = job.content.to_plain(), job.pitch.to_plain()
    extractor = FeatureExtractor(content, pitch, **job.preprocess.content_copies)
    identities = {
        "content": extractor.encoder.identity,
        "f0_hz": extractor.tracker.identity,
        "loudness_db": extractor.loudness.identity,
    }
    configs = {"content": content, "f0_hz": pitch, "loudness_db": {}}
    fingerprints = feature_fingerprints(
        reading_fingerprint(job.audio, job.preprocess),
        content_identity=identities["content"],
        pitch_identity=identities["f0_hz"],
        loudness_identity=identities["loudness_db"],
        **job.preprocess.content_copies,
    )
    return {
        name: FeatureDescription(
            fingerprint=fingerprints[name],
            identity=identities.get(name, identities["content"]),
            config=configs.get(name, content),
            dim=extractor.encoder.dim if name.startswith("content") else None,
            dtype="float16" if name.startswith("content") else "float32",
        )
        for name in extractor.names
    }


def drop_copies(entries: list[Entry], *, by: Literal["key", "checksum"], words: str) -> None:
    """Drop each recording that equals an earlier one in `by`, its file's hash or that of its samples."""
    first: dict[str, Entry] = {}
    for entry in entries:
        value = entry.key if by == "key" else entry.recording.checksum if entry.recording else ""
        if entry.problem is not None or not value:
            continue
        original = first.setdefault(value, entry)
        if original is not entry:
            entry.is_copy = True
            entry.problem = f"{words} {original.file.source}"
            if original.file.speaker != entry.file.speaker:
                entry.problem += f" of speaker {original.file.speaker}"


def file_stamp(path: Path) -> tuple[int, int]:
    """Return modification time in ns and size in bytes: another one tells that a file has changed."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size
