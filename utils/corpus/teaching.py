"""Let a teacher convert the clips of recordings: they are the audio of the dataset, the features are the recordings'.

A voice that learns from such pairs is given what it will be given later, speech of other people, and is told what the
teacher makes of it. Each clip is converted by itself: nothing crosses the border to the clips that are held out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.signal import sosfilt

from utils.audio.frames import FRAME_RATE
from utils.audio.highpass import highpass_sections
from utils.audio.io import float_to_int16, int16_to_float
from utils.config.preprocess import PreprocessSettings
from utils.corpus.arrays import Rows, new_array
from utils.corpus.cache import parts_of
from utils.corpus.leveling import LoudnessMeter, file_gain_db
from utils.corpus.progress import progress_bar
from utils.corpus.recording import Lesson, Recording
from utils.corpus.run import Entry, Run
from utils.corpus.stored_array import StoredArray
from utils.corpus.teacher import Teacher
from utils.corpus.workers import WorkerPool
from utils.errors import DataError

FAILED = "the teacher failed: "


@dataclass(frozen=True)
class _PitchTask:
    """A recording whose pitch is measured."""

    index: int
    teacher: Teacher
    waveform: Rows
    sample_rate: int

    def __str__(self) -> str:
        return str(self.waveform.path)


@dataclass(frozen=True)
class _PartTask:
    """Some neighbouring clips of a recording that are converted.

    Attributes:
        index: of the recording.
        teacher: that converts.
        waveform: array file that has the recording's clips.
        first_frame: frame in the array at which the first clip begins.
        clip_frames: length of each clip.
        sample_rate: of the waveform and of the result.
        semitones: by which the pitch is moved.
        highpass_hz: of preprocessing; 0: none.
        output: array file to make, float32.
    """

    index: int
    teacher: Teacher
    waveform: Path
    first_frame: int
    clip_frames: tuple[int, ...]
    sample_rate: int
    semitones: float
    highpass_hz: float
    output: Path

    def __str__(self) -> str:
        return str(self.waveform)


@dataclass(frozen=True)
class _LevelTask:
    """A recording of which all parts are converted: it gets one level, as recordings do."""

    index: int
    parts: tuple[Path, ...]
    sample_rate: int
    semitones: float
    settings: PreprocessSettings
    output: Path

    def __str__(self) -> str:
        return str(self.output)


def teach(entries: list[Entry], run: Run, pool: WorkerPool) -> None:
    """Convert what the cache does not have; a recording that the teacher cannot convert is dropped."""
    if run.teacher is None:
        return
    lacking = []
    for index, entry in enumerate(entries):
        if entry.problem is None and entry.recording is not None:
            entry.lesson = run.cache.load_lesson(entry.key, entry.recording.num_frames * run.hop_length)
            if entry.lesson is None:
                lacking.append(index)
    shifts = _measure_pitch(entries, lacking, run, pool)
    _convert(entries, shifts, run, pool)
    _level(entries, shifts, run, pool)
    for entry in entries:
        if entry.lesson is not None and entry.problem is None:
            entry.problem = entry.lesson.problem


def _measure_pitch(entries: list[Entry], lacking: list[int], run: Run, pool: WorkerPool) -> dict[int, float]:
    """Return by how many semitones the pitch of each recording is moved, by its index."""
    assert run.teacher is not None
    asked = run.teacher.description.pitch_shift
    if not isinstance(asked, str):
        return dict.fromkeys(lacking, float(asked))
    rate = run.job.audio.sample_rate
    tasks = [_PitchTask(index, run.teacher, _waveform(entries[index], run), rate) for index in lacking]
    shifts = {}
    for outcome in pool.run(_shift_of, tasks):
        if outcome.value is None:
            entries[outcome.task.index].problem = f"{FAILED}{outcome.problem}"
        else:
            shifts[outcome.task.index] = outcome.value
    return shifts


def _shift_of(task: _PitchTask) -> float:
    """Measure a recording (in a worker process)."""
    return task.teacher.shift_for(int16_to_float(task.waveform.load()), task.sample_rate)


def _convert(entries: list[Entry], shifts: dict[int, float], run: Run, pool: WorkerPool) -> None:
    """Convert the parts of recordings that the cache lacks."""
    tasks = list(chain.from_iterable(_part_tasks(index, entries[index], shift, run) for index, shift in shifts.items()))
    seconds = sum(sum(task.clip_frames) for task in tasks) / FRAME_RATE
    with progress_bar(seconds, "converting", "s of audio") as bar:
        for outcome in pool.run(_convert_part, tasks):
            if outcome.problem is not None:
                entries[outcome.task.index].problem = f"{FAILED}{outcome.problem}"
            bar.update(sum(outcome.task.clip_frames) / FRAME_RATE)


def _part_tasks(index: int, entry: Entry, semitones: float, run: Run) -> Iterator[_PartTask]:
    """Yield a task for each part of a recording that was not converted yet."""
    assert entry.recording is not None and run.teacher is not None
    waveform = _waveform(entry, run)
    first_frame = waveform.first // run.hop_length
    for part, clips in enumerate(parts_of(entry.recording.clips)):
        frames = tuple(clip.length for clip in clips)
        if not run.cache.has_lesson_part(entry.key, part, sum(frames) * run.hop_length):
            yield _PartTask(
                index, run.teacher, waveform.path, first_frame, frames, run.job.audio.sample_rate, semitones,
                run.job.preprocess.highpass_hz, run.cache.lesson_part(entry.key, part),
            )  # fmt: skip
        first_frame += sum(frames)


def _convert_part(task: _PartTask) -> None:
    """Convert some clips (in a worker process)."""
    hop, waveform = task.sample_rate // FRAME_RATE, StoredArray(task.waveform)
    sections = highpass_sections(task.highpass_hz, task.sample_rate) if task.highpass_hz else None
    position, written = task.first_frame, 0
    with new_array(task.output, (sum(task.clip_frames) * hop,), np.float32) as target:
        for frames in task.clip_frames:
            clip = int16_to_float(waveform.read(position * hop, (position + frames) * hop))
            made = task.teacher.convert(clip, task.sample_rate, task.semitones)
            if len(made) != len(clip) or not np.isfinite(made).all():
                raise DataError(f"it made {len(made)} samples of {len(clip)}, or values that are not finite")
            target[written : written + len(clip)] = made if sections is None else sosfilt(sections, made)
            position += frames
            written += len(clip)


def _level(entries: list[Entry], shifts: dict[int, float], run: Run, pool: WorkerPool) -> None:
    """Bring each recording that was converted to the level of recordings, and note how that was done."""
    tasks = []
    for index, semitones in shifts.items():
        entry = entries[index]
        if entry.problem is None and entry.recording is not None:
            parts = tuple(run.cache.lesson_part(entry.key, part) for part in range(_num_parts(entry.recording)))
            rate, output = run.job.audio.sample_rate, run.cache.lesson_waveform(entry.key)
            tasks.append(_LevelTask(index, parts, rate, semitones, run.job.preprocess, output))
    for outcome in pool.run(_level_one, tasks):
        entry = entries[outcome.task.index]
        if outcome.value is None:
            entry.problem = f"{FAILED}{outcome.problem}"
            continue
        entry.lesson = outcome.value
        run.cache.save_lesson(entry.key, outcome.value)
        run.work.converted += 1
        for path in outcome.task.parts:
            path.unlink(missing_ok=True)


def _level_one(task: _LevelTask) -> Lesson:
    """Put the parts of a recording together with one gain (in a worker process)."""
    arrays = [StoredArray(path) for path in task.parts]
    meter = LoudnessMeter(task.sample_rate)
    for array in arrays:
        meter.update(array.read(0, len(array)))
    loudness = meter.loudness_lufs()
    if not math.isfinite(loudness) or meter.peak == 0:
        return Lesson(pitch_shift=task.semitones, problem="the teacher makes silence of it")
    settings = task.settings
    gain_db = file_gain_db(
        loudness,
        meter.peak,
        target_lufs=settings.loudness_lufs,
        peak_db=settings.peak_db,
        max_gain_db=settings.max_gain_db,
    )
    with new_array(task.output, (sum(map(len, arrays)),), np.int16) as target:
        position = 0
        for array in arrays:
            target[position : position + len(array)] = float_to_int16(
                array.read(0, len(array)) * np.float32(10 ** (gain_db / 20))
            )
            position += len(array)
    return Lesson(pitch_shift=task.semitones, loudness_lufs=round(loudness, 3), gain_db=gain_db)


def _waveform(entry: Entry, run: Run) -> Rows:
    """Return where the waveform of the recording itself lies."""
    assert entry.recording is not None
    return run.cache.find_waveform(entry.key, entry.recording.num_frames * run.hop_length)


def _num_parts(recording: Recording) -> int:
    return len(parts_of(recording.clips))
