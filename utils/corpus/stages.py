"""The stages that bring the cache up to date: hash, read and extract what does not depend on other recordings."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from utils.audio.frames import FRAME_RATE
from utils.config import AudioConfig
from utils.config.preprocess import PreprocessJob, PreprocessSettings
from utils.corpus.arrays import Rows
from utils.corpus.cache import parts_of
from utils.corpus.extraction import FeatureTask, extract_features, extractor_json
from utils.corpus.failures import machine_failure
from utils.corpus.packed_reader import packed_from
from utils.corpus.progress import progress_bar
from utils.corpus.reading import read_recording
from utils.corpus.recording import Recording
from utils.corpus.run import Entry, Run, drop_copies, file_stamp
from utils.corpus.sound_print import print_text, sound_print
from utils.corpus.teaching import teach
from utils.corpus.workers import WorkerPool, available_workers
from utils.errors import DataError
from utils.files import sha256_of_file

HASH_THREADS = 4
KEY_DIGITS = 32
log = logging.getLogger(__name__)


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


def compute(entries: list[Entry], run: Run) -> None:
    """Bring the cache up to date for these recordings: all that does not depend on the others."""
    workers = run.job.preprocess.num_workers
    with WorkerPool(available_workers() if workers is None else workers) as pool:
        identify(entries)
        require_familiar(entries, run.job)
        read(entries, run, pool)
        drop_copies(entries, by="checksum", words="same sound as")
        describe_sounds(entries, run, pool)
        teach(entries, run, pool)
        extract(entries, run, pool)


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
    """Say that a dataset gets another source, and refuse one with which it shares no recording.

    A source that has moved, grown or shrunk shares some.

    Raises:
        DataError: then; the dataset is unchanged.
    """
    before = packed_from(job.folder)
    if before is None or Path(before.source).resolve() == job.source.resolve():
        return
    kept = len(before.keys.intersection(entry.key for entry in entries))
    if not kept:
        raise DataError(
            f"{job.folder} was made of {before.source}, and none of its recordings is in dataset.source={job.source}; "
            f"choose another dataset.name, or delete {job.folder} first"
        )
    if job.dataset.shard is None:  # a shard sees a part of the recordings
        gone = len(before.keys) - kept
        words = f"{gone} are not and leave the dataset" if gone else "none leaves"
        log.warning(
            "%s was made of %s and is now made of %s: of its %d recordings %d are there, %s",
            job.folder, before.source, job.source, len(before.keys), kept, words,
        )  # fmt: skip


def read(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Decode what the cache does not have."""
    tasks = _reading_tasks(entries, run)
    with progress_bar(len(tasks), "reading", "files") as bar:
        for outcome in pool.run(_read_one, tasks):
            entry = entries[outcome.task.index]
            # the report names the file already
            entry.problem = outcome.problem and outcome.problem.replace(f"{entry.file.path} ", "", 1)
            entry.recording = outcome.value
            if entry.recording is not None:
                run.cache.save_recording(entry.key, entry.recording)
                run.work.read += 1
                run.work.audio_seconds += entry.recording.seconds
            bar.update()
    for entry in entries:
        if entry.recording is not None:
            entry.problem = entry.problem or entry.recording.problem
            entry.notes += entry.recording.notes


def _reading_tasks(entries: list[Entry], run: Run) -> list[_ReadTask]:
    """Return a task for each recording that the cache does not have, and load the others from it."""
    job, tasks = run.job, []
    for index, entry in enumerate(entries):
        if entry.problem is not None:
            continue
        entry.recording = run.cache.load_recording(entry.key, job.audio.hop_length)
        if entry.recording is None:
            output = run.cache.waveform(entry.key)
            tasks.append(_ReadTask(index, entry.file.path, entry.stamp, output, job.audio, job.preprocess))
        else:
            run.work.reused += 1
    return tasks


def _read_one(task: _ReadTask) -> Recording:
    """Read a recording (in a worker process)."""
    recording = read_recording(task.path, task.audio, task.settings, task.output)
    if file_stamp(task.path) != task.stamp:
        raise DataError("changed while it was read; run preprocess.py again")
    return recording


@dataclass(frozen=True)
class _PrintTask:
    index: int
    waveform: Rows
    sample_rate: int

    def __str__(self) -> str:
        return str(self.waveform.path)


def describe_sounds(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Note how recordings sound, by which their copies are found, where that was not done before."""
    audio = run.job.audio
    tasks = []
    for index, entry in enumerate(entries):
        recording = entry.recording
        if recording is not None and entry.problem is None and recording.sound_print is None:
            rows = run.cache.find_waveform(entry.key, recording.num_frames * audio.hop_length)
            tasks.append(_PrintTask(index, rows, audio.sample_rate))
    for outcome in pool.run(_print_one, tasks):
        entry = entries[outcome.task.index]
        if outcome.value is not None and entry.recording is not None:
            entry.recording.sound_print = outcome.value
            run.cache.save_recording(entry.key, entry.recording)


def _print_one(task: _PrintTask) -> str:
    """Describe the sound of a recording (in a worker process)."""
    return print_text(sound_print(task.waveform, task.sample_rate))


def extract(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Compute the features that the cache does not have."""
    work = run.work
    planned = [
        (entry, task)
        for entry in entries
        if entry.recording is not None and entry.problem is None
        for task in _feature_tasks(entry, entry.recording, run)
    ]
    for name in work.features:
        work.features[name] = len({entry.key for entry, task in planned if name in task.outputs})
    seconds = sum(sum(task.clip_frames) for _, task in planned) / FRAME_RATE
    if not work.read:
        work.audio_seconds = seconds
    owners = {(task.waveform, task.first_frame): entry for entry, task in planned}
    with progress_bar(seconds, "features", "s of audio") as bar:
        for outcome in pool.run(extract_features, [task for _, task in planned]):
            if outcome.problem is not None:
                owners[outcome.task.waveform, outcome.task.first_frame].problem = f"features failed: {outcome.problem}"
            bar.update(sum(outcome.task.clip_frames) / FRAME_RATE)


def _feature_tasks(entry: Entry, recording: Recording, run: Run) -> Iterator[FeatureTask]:
    """Yield a task for each part of a recording of which the cache lacks a feature."""
    job, cache, key, hop = run.job, run.cache, entry.key, run.hop_length
    extractor = extractor_json(job.content.to_plain(), job.pitch.to_plain(), **job.preprocess.content_copies)
    waveform = cache.find_waveform(key, recording.num_frames * hop)
    first_frame = waveform.first // hop
    # the pitch that the teacher was told, as the voice is told it later
    ratio = 2 ** (entry.lesson.pitch_shift / 12) if entry.lesson else 1.0
    for part, clips in enumerate(parts_of(recording.clips)):
        frames = tuple(clip.length for clip in clips)
        outputs = {name: cache.feature(key, name, part) for name in cache.missing(key, part, sum(frames))}
        if outputs:
            yield FeatureTask(waveform.path, job.audio.sample_rate, first_frame, frames, outputs, extractor, ratio)
        first_frame += sum(frames)
