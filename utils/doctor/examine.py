"""Examine a prepared dataset."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from utils.audio.io import load_audio, resample
from utils.config.plain_data import first_line
from utils.config.preprocess import PreprocessJob
from utils.corpus.store import CorpusStore
from utils.corpus.workers import WorkerPool, available_workers
from utils.doctor.diagnosis import Diagnosis, diagnosis_text
from utils.doctor.facts import FileFacts, file_facts, voice_facts
from utils.doctor.measures import READ_SECONDS, SoundMeasures, measure_file, measure_sound
from utils.doctor.rules import find_in_file, find_in_voice
from utils.doctor.speakers import MOST_SECONDS, SpeakerComparison
from utils.errors import FormatError, WorkbenchError
from utils.evaluation.optional_packages import MissingEvaluatorError
from utils.files import atomic_write_json, atomic_write_text, read_json

DIAGNOSIS_FILE = "doctor.json"
EXCLUDE_FILE = "exclude.txt"
FILES_FOR_WORKERS = 100  # a worker process takes seconds to start
log = logging.getLogger(__name__)


def examine(folder: Path, source: Path | None = None, *, num_workers: int = 0) -> Diagnosis:
    """Measure every recording of a dataset, judge it, and write doctor.json beside its report.

    Args:
        folder: a prepared dataset.
        source: folder of its recordings; None takes what the dataset says.
        num_workers: processes; 0: none.
    Raises:
        FormatError: if it is no dataset or it is damaged.
    """
    store = CorpusStore.open(folder)
    root = Path(store.description.source) if source is None else source
    files = _files(folder, store)
    missing: list[str] = []
    is_taught = store.description.teacher is not None
    if is_taught:
        missing.append("the recordings themselves were not examined: the audio is what the teacher made of them")
    sounds = _measure_spoken(files, store) if is_taught else _measure(files, root, num_workers)
    if len(sounds) < len(files):
        missing.append(f"the sound of {len(files) - len(sounds)} recordings was not measured: not found below {root}")
    files = [replace(file, sound=sounds.get(file.source)) for file in files]
    read = partial(_spoken_head, store) if is_taught else partial(_head, root)
    files = _with_similarity(files, read, missing)
    voices = voice_facts(store, files)
    findings = [item for file in files for item in find_in_file(file)]
    findings += [item for voice in voices for item in find_in_voice(voice)]
    diagnosis = Diagnosis(store.description.name, store.audio.sample_rate, files, voices, findings, missing)
    atomic_write_json(folder / DIAGNOSIS_FILE, diagnosis.to_plain())
    return diagnosis


def _files(folder: Path, store: CorpusStore) -> list[FileFacts]:
    """Return what the dataset and its report say of each recording."""
    path = folder / "report.json"
    try:
        return file_facts(store, read_json(path))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is missing or damaged ({first_line(error)}); run preprocess.py again") from error


def examine_dataset(job: PreprocessJob) -> str:
    """Examine the dataset of a job; return what to show on the screen.

    Recordings that had better be left out are written into exclude.txt, for dataset.exclude.
    """
    workers = job.preprocess.num_workers
    diagnosis = examine(job.folder, job.dataset.source, num_workers=available_workers() if workers is None else workers)
    exclude = job.folder / EXCLUDE_FILE
    exclude.unlink(missing_ok=True)
    if diagnosis.left_out:
        atomic_write_text(exclude, "".join(f"{name}\n" for name in [*job.dataset.exclude, *diagnosis.left_out]))
    return diagnosis_text(diagnosis, job.folder / DIAGNOSIS_FILE, exclude)


def _place(root: Path, source: str) -> Path:
    return root if root.is_file() else root / source


def _measure(files: Sequence[FileFacts], root: Path, num_workers: int) -> dict[str, SoundMeasures]:
    paths = {_place(root, file.source): file.source for file in files}
    found: dict[str, SoundMeasures] = {}
    with WorkerPool(num_workers if len(files) >= FILES_FOR_WORKERS else 0) as pool:
        for outcome in pool.run(measure_file, [path for path in paths if path.is_file()]):
            if outcome.value is None:
                log.warning("%s could not be measured: %s", outcome.task, outcome.problem)
            else:
                found[paths[outcome.task]] = outcome.value
    return found


def _measure_spoken(files: Sequence[FileFacts], store: CorpusStore) -> dict[str, SoundMeasures]:
    """Measure what a teacher made of each recording."""
    rate = store.audio.sample_rate
    return {file.source: measure_sound(_spoken(store, file.source, READ_SECONDS)[:, None], rate) for file in files}


def _spoken(store: CorpusStore, source: str, seconds: float) -> np.ndarray:
    """Return the audio [T] that a dataset has of a recording, up to so many seconds."""
    rate, parts = store.audio.sample_rate, [np.zeros(0, np.float32)]
    for clip in store.clips:
        if clip.source == source and sum(map(len, parts)) < seconds * rate:
            parts.append(store.waveform(clip))
    return np.concatenate(parts)[: int(seconds * rate)]


def _with_similarity(
    files: list[FileFacts], read: Callable[[FileFacts, int], np.ndarray], missing: list[str]
) -> list[FileFacts]:
    """Compare each recording with the voice that its speaker's recordings are."""
    try:
        comparison = SpeakerComparison()
    except MissingEvaluatorError as error:
        missing.append(f"whether another speaker is among them was not measured: {error}")
        return files
    found: dict[FileFacts, float | None] = {}
    for speaker in {file.speaker for file in files}:
        own = [file for file in files if file.speaker == speaker and file.sound is not None]
        found |= zip(own, comparison.learn(read(file, comparison.rate) for file in own), strict=True)
    return [replace(file, similarity=found.get(file)) for file in files]


def _head(root: Path, file: FileFacts, rate: int) -> np.ndarray:
    try:
        return load_audio(_place(root, file.source), rate, duration_seconds=MOST_SECONDS)
    except WorkbenchError:  # it could be read a moment ago
        return np.zeros(0, np.float32)


def _spoken_head(store: CorpusStore, file: FileFacts, rate: int) -> np.ndarray:
    return resample(_spoken(store, file.source, MOST_SECONDS), store.audio.sample_rate, rate)
