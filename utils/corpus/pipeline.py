"""The preprocessing pipeline: from a folder of recordings to a dataset, resumable at any moment."""

import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.frames import FRAME_RATE
from utils.config import AudioConfig
from utils.config.preprocess import PreprocessJob, PreprocessSettings
from utils.corpus.cache import Cache, parts_of
from utils.corpus.description import DatasetDescription, FeatureDescription
from utils.corpus.extraction import FeatureExtractor, FeatureTask, extract_features, extractor_json
from utils.corpus.failures import machine_failure
from utils.corpus.fingerprints import feature_fingerprints, reading_fingerprint
from utils.corpus.manifest import Clip
from utils.corpus.packed_reader import PackedResults, packed_from
from utils.corpus.packing import PackItem, describe_speakers, load_feature, pack, previous_splits, split_clips
from utils.corpus.progress import progress_bar
from utils.corpus.reading import Recording, read_recording
from utils.corpus.report import FileReport, WorkReport, report_json, split_notes
from utils.corpus.sources import SourceFile, SourceListing, find_sources
from utils.corpus.split import HeldOutSettings
from utils.corpus.workers import WorkerPool, available_workers
from utils.errors import DataError
from utils.files import atomic_write_json, sha256_of_file
from utils.locks import try_lock

HASH_THREADS = 4
KEY_DIGITS = 32
UNVOICED_SECONDS = 1.0  # below this a recording must have a voiced frame to be of use
log = logging.getLogger(__name__)


@dataclass
class Entry:
    """A recording on its way."""

    file: SourceFile
    key: str = ""
    stamp: tuple[int, int] = (0, 0)
    recording: Recording | None = None
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    is_copy: bool = False


@dataclass(frozen=True)
class _ReadTask:
    index: int
    path: Path
    stamp: tuple[int, int]
    output: Path
    audio: AudioConfig
    settings: PreprocessSettings

    def __str__(self) -> str:
        return str(self.path)


@dataclass
class Run:
    """What the stages of one run share."""

    job: PreprocessJob
    listing: SourceListing
    features: dict[str, FeatureDescription]
    reading: str
    work: WorkReport
    started: float
    seconds_before: float = 0.0  # spent by the shards that a merge puts together

    @cached_property
    def cache(self) -> Cache:
        """Where the results of single recordings lie; asked for the first time when the dataset is locked."""
        fingerprints = {name: item.fingerprint for name, item in self.features.items()}
        packed = PackedResults.open(self.job.folder, self.reading, fingerprints, self.job.audio.hop_length)
        return Cache(self.job.folder / "cache", self.reading, fingerprints, packed)

    def finished_work(self) -> WorkReport:
        """Return what was done, with the time until now."""
        self.work.seconds = self.seconds_before + time.monotonic() - self.started
        return self.work


def preprocess(job: PreprocessJob) -> dict[str, Any]:
    """Make or update a dataset.

    Returns:
        The report, as written to report.json.
    Raises:
        DataError: if nothing is usable or another run works on the same dataset; a dataset that existed is unchanged.
    """
    run, entries = begin(job)
    is_new = not job.folder.exists()
    with locked(job.folder):
        compute(entries, run)
        try:
            return complete(entries, run)
        except DataError:
            if is_new:
                shutil.rmtree(job.folder, ignore_errors=True)
            raise


def begin(job: PreprocessJob) -> tuple[Run, list[Entry]]:
    """Look at the source and the settings; nothing is computed yet.

    Returns:
        What the stages share, and every recording in the order of the dataset.
    Raises:
        DataError: if the source is missing or holds no recording.
    """
    started = time.monotonic()
    listing = find_sources(job.source, job.dataset.speaker, exclude=job.folder)
    features = describe_features(job)
    work = WorkReport(features=dict.fromkeys(features, 0))
    run = Run(job, listing, features, reading_fingerprint(job.audio, job.preprocess), work, started)
    return run, [Entry(file) for file in listing.files]


def compute(entries: list[Entry], run: Run) -> None:
    """Bring the cache up to date for these recordings: all that does not depend on the others."""
    workers = run.job.preprocess.num_workers
    with WorkerPool(available_workers() if workers is None else workers) as pool:
        identify(entries)
        require_familiar(entries, run.job)
        read(entries, run, pool)
        drop_copies(entries, by="checksum", words="same sound as")
        extract(entries, run, pool)


def complete(entries: list[Entry], run: Run) -> dict[str, Any]:
    """Make the dataset of recordings whose results all lie in the cache; returns the report.

    Raises:
        DataError: if nothing is usable; a dataset that existed is unchanged.
    """
    _drop_unvoiced(entries, run)
    used = [item for item in entries if item.problem is None]
    items = [PackItem(item.file, item.key, item.recording) for item in used if item.recording is not None]
    if not items:
        raise DataError(_nothing_usable(run.job, entries))
    return _finish(run, entries, items)


def describe_features(job: PreprocessJob) -> dict[str, FeatureDescription]:
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


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep a second run away from the dataset; the lock ends with the process, however it ends.

    Args:
        folder: the dataset.
        shared: also let other shared holders in: the shards, which only add to the cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        if not try_lock(stream, shared=shared):
            raise DataError(f"another preprocess.py is working on {folder}; wait for it or choose another dataset.name")
        yield


def identify(entries: list[Entry]) -> None:
    """Hash every file; a copy of an earlier one is dropped.

    Raises:
        DataError: if the machine failed, so that no file is to blame.
    """

    def identify(entry: Entry) -> None:
        try:
            entry.stamp = file_stamp(entry.file.path)
            entry.key = sha256_of_file(entry.file.path)[:KEY_DIGITS]
        except OSError as error:
            failure = machine_failure(error, str(entry.file.path))
            if failure is not None:
                raise DataError(failure) from error
            entry.problem = f"cannot be read ({error.strerror or error})"

    with ThreadPoolExecutor(HASH_THREADS) as threads, progress_bar(len(entries), "hashing", "files") as bar:
        for _ in threads.map(identify, entries):
            bar.update()
    drop_copies(entries, by="key", words="same content as")


def require_familiar(entries: list[Entry], job: PreprocessJob) -> None:
    """Refuse to replace a dataset by one of another source with which it shares no recording.

    A source that has moved, grown or shrunk shares some.

    Raises:
        DataError: then; the dataset is unchanged.
    """
    before = packed_from(job.folder)
    if before is None or Path(before.source).resolve() == job.source.resolve():
        return
    if before.keys.isdisjoint(entry.key for entry in entries):
        raise DataError(
            f"{job.folder} was made of {before.source}, and none of its recordings is in dataset.source={job.source}; "
            f"choose another dataset.name, or delete {job.folder} first"
        )


def drop_copies(entries: list[Entry], *, by: str, words: str) -> None:
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


def read(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Decode what the cache does not have."""
    job, cache, work = run.job, run.cache, run.work
    tasks = []
    for index, entry in enumerate(entries):
        if entry.problem is not None:
            continue
        entry.recording = cache.load_recording(entry.key, job.audio.hop_length)
        if entry.recording is None:
            output = cache.waveform(entry.key)
            tasks.append(_ReadTask(index, entry.file.path, entry.stamp, output, job.audio, job.preprocess))
        else:
            work.reused += 1
    with progress_bar(len(tasks), "reading", "files") as bar:
        for outcome in pool.run(_read_one, tasks):
            entry = entries[outcome.task.index]
            # the report names the file already
            entry.problem = outcome.problem and outcome.problem.replace(f"{entry.file.path} ", "", 1)
            entry.recording = outcome.value
            if entry.recording is not None:
                cache.save_recording(entry.key, entry.recording)
                work.read += 1
                work.audio_seconds += entry.recording.seconds
            bar.update()
    for entry in entries:
        if entry.recording is not None:
            entry.problem = entry.problem or entry.recording.problem
            entry.notes += entry.recording.notes


def _read_one(task: _ReadTask) -> Recording:
    """Read a recording (in a worker process)."""
    recording = read_recording(task.path, task.audio, task.settings, task.output)
    if file_stamp(task.path) != task.stamp:
        raise DataError("changed while it was read; run preprocess.py again")
    return recording


def file_stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def extract(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Compute the features that the cache does not have."""
    job, cache, work = run.job, run.cache, run.work
    extractor = extractor_json(job.content.to_plain(), job.pitch.to_plain(), **job.preprocess.content_copies)
    owners: dict[tuple[Path, int], Entry] = {}
    tasks: list[FeatureTask] = []
    computed: dict[str, set[str]] = {name: set() for name in work.features}
    for entry in entries:
        if entry.recording is None or entry.problem is not None:
            continue
        hop = job.audio.hop_length
        waveform = cache.find_waveform(entry.key, entry.recording.num_frames * hop)
        first_frame = waveform.first // hop
        for part, clips in enumerate(parts_of(entry.recording.clips)):
            frames = tuple(clip.length for clip in clips)
            missing = cache.missing(entry.key, part, sum(frames))
            if missing:
                outputs = {name: cache.feature(entry.key, name, part) for name in missing}
                owners[waveform.path, first_frame] = entry
                rate = job.audio.sample_rate
                tasks.append(FeatureTask(waveform.path, rate, first_frame, frames, outputs, extractor))
                for name in missing:
                    computed[name].add(entry.key)
            first_frame += sum(frames)
    work.features = {name: len(keys) for name, keys in computed.items()}
    if not work.read:
        work.audio_seconds = sum(sum(task.clip_frames) for task in tasks) / FRAME_RATE
    with progress_bar(sum(sum(task.clip_frames) for task in tasks) / FRAME_RATE, "features", "s of audio") as bar:
        for outcome in pool.run(extract_features, tasks):
            if outcome.problem is not None:
                owners[outcome.task.waveform, outcome.task.first_frame].problem = f"features failed: {outcome.problem}"
            bar.update(sum(outcome.task.clip_frames) / FRAME_RATE)


def _drop_unvoiced(entries: list[Entry], run: Run) -> None:
    """Drop clicks and the like: very short recordings without a voiced frame."""
    for entry in entries:
        recording = entry.recording
        if recording is None or entry.problem is not None:
            continue
        if recording.num_samples >= UNVOICED_SECONDS * run.job.audio.sample_rate:
            continue
        if np.any(load_feature(run.cache, PackItem(entry.file, entry.key, recording), "f0_hz") > 0):
            entry.notes.append(f"very short ({recording.seconds:.2f} s)")
        else:
            entry.problem = f"very short ({recording.seconds:.2f} s) and nothing in it is voiced"


def _finish(run: Run, entries: list[Entry], items: list[PackItem]) -> dict[str, Any]:
    """Replace the dataset, write the report, and let go of what is not needed any more."""
    job, cache = run.job, run.cache
    held_out = HeldOutSettings(share=job.preprocess.held_out_share, min_files=job.preprocess.held_out_files)
    previous = previous_splits(job.folder, held_out)
    clips = split_clips(items, job.audio, previous, held_out)
    plan = DatasetDescription(
        name=job.folder.name,
        source=str(job.source),
        audio=job.audio,
        reading=job.preprocess.reading_values(),
        reading_fingerprint=run.reading,
        content_copies=job.preprocess.content_copies,
        held_out=held_out,
        speakers=describe_speakers(items, cache, clips),
        features=run.features,
    )
    pack(job.folder, items, clips, cache=cache, plan=plan)
    cache.prune({item.key for item in entries if item.recording is not None}, {item.key for item in items})
    report = report_json(
        plan,
        files=_file_reports(entries, clips),
        listing=run.listing,
        notes=split_notes(clips, held_out),
        work=run.finished_work(),
    )
    atomic_write_json(job.folder / "report.json", report)
    return report


def _file_reports(entries: list[Entry], clips: list[Clip]) -> list[FileReport]:
    by_checksum: dict[str, list[Clip]] = {}
    for clip in clips:
        by_checksum.setdefault(clip.checksum, []).append(clip)
    reports = []
    for entry in entries:
        recording = entry.recording
        own = by_checksum[recording.checksum] if recording is not None and entry.problem is None else []
        splits = {clip.split for clip in own}
        report = FileReport(entry.file.source, entry.file.speaker, entry.problem, entry.notes)
        if recording is not None:
            report.seconds, report.decoder = recording.seconds, recording.decoder
            report.gain_db, report.loudness_lufs = round(recording.gain_db, 2), recording.loudness_lufs
        if own:
            report.clips, report.used_seconds = len(own), round(sum(clip.duration_seconds for clip in own), 3)
            report.split = "both" if len(splits) > 1 else own[0].split
        reports.append(report)
    return reports


def _nothing_usable(job: PreprocessJob, entries: list[Entry]) -> str:
    reasons = "; ".join(f"{item.file.source}: {item.problem}" for item in entries[:3])
    more = f"; and {len(entries) - 3} more" if len(entries) > 3 else ""
    return f"dataset.source={job.source}: none of its {len(entries)} files is usable ({reasons}{more})"
