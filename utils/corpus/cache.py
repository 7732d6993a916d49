"""Results per recording, named by what they were made from: nothing stale can be picked up.

A result lies in the cache until it is packed into the arrays of the dataset; from then on it is read there, so that
nothing is on the disk twice for long.
"""

import re
import shutil
from dataclasses import asdict
from pathlib import Path

from utils.corpus.arrays import matches
from utils.corpus.packed_reader import RECORDED, WAVEFORM, PackedResults, Rows
from utils.corpus.recording import Lesson, Recording
from utils.corpus.signed_json import KEY, UNREADABLE, read_signed, signed
from utils.corpus.slicing import Span
from utils.files import atomic_write_json

PART_FRAMES = 6000  # a minute: what a killed run may have to do again per worker
SHORT = 16  # hexadecimal digits of a hash in file names
FOLDER_NAME = re.compile("[0-9a-f]{32}")  # of a recording


class Cache:
    """The folder cache/ of a dataset: cache/<content of the file>/<stage>-<fingerprint>[.<part>].npy.

    Args:
        folder: cache/.
        reading: fingerprint of the waveforms.
        features: fingerprint of each feature by name.
        packed: what the dataset has already.
        lesson: fingerprint of the waveforms that a teacher makes; None without one.
    """

    def __init__(
        self, folder: Path, reading: str, features: dict[str, str], packed: PackedResults, lesson: str | None = None
    ) -> None:
        self.folder = folder
        self._reading = reading
        self._features = features
        self._packed = packed
        self._lesson = lesson
        self._recorded = WAVEFORM if lesson is None else RECORDED

    def waveform(self, key: str) -> Path:
        """Return the array file of a recording's clips."""
        return self.folder / key / f"waveform-{self._reading[:SHORT]}.npy"

    def description(self, key: str) -> Path:
        """Return the file that says what was read of a recording."""
        return self.folder / key / f"recording-{self._reading[:SHORT]}.json"

    def feature(self, key: str, name: str, part: int) -> Path:
        """Return the array file of a feature of one part of a recording."""
        return self.folder / key / f"{name}-{self._features[name][:SHORT]}.{part:04d}.npy"

    def save_recording(self, key: str, recording: Recording) -> None:
        """Write what was read of a recording; its waveform must be there already."""
        atomic_write_json(self.description(key), signed(recording.to_plain()))

    def load_recording(self, key: str, hop_length: int) -> Recording | None:
        """Return what was read before, or None if it has to be read (again)."""
        try:
            plain = read_signed(self.description(key))
            recording = Recording.from_plain({name: value for name, value in plain.items() if name != KEY})
        except (*UNREADABLE, TypeError, KeyError):
            return None
        samples = recording.num_frames * hop_length
        is_complete = recording.problem is not None or self._packed.find(self._recorded, key) is not None
        return recording if is_complete or matches(self.waveform(key), samples) else None

    def find_waveform(self, key: str, num_samples: int) -> Rows:
        """Return where the waveform of a recording itself lies."""
        return self._packed.find(self._recorded, key) or Rows(self.waveform(key), 0, num_samples)

    def lesson(self, key: str) -> Path:
        """Return the file that says what a teacher made of a recording."""
        return self.folder / key / f"lesson-{self._lesson_digits}.json"

    def lesson_part(self, key: str, part: int) -> Path:
        """Return the array file of one part of a recording as a teacher converted it."""
        return self.folder / key / f"lesson_part-{self._lesson_digits}.{part:04d}.npy"

    def has_lesson_part(self, key: str, part: int, num_samples: int) -> bool:
        """Whether a teacher has converted a part of a recording."""
        return matches(self.lesson_part(key, part), num_samples)

    def lesson_waveform(self, key: str) -> Path:
        """Return the array file of a recording as a teacher converted it."""
        return self.folder / key / f"lesson_waveform-{self._lesson_digits}.npy"

    def save_lesson(self, key: str, lesson: Lesson) -> None:
        """Write what a teacher made of a recording; its waveform must be there already."""
        atomic_write_json(self.lesson(key), signed(asdict(lesson)))

    def load_lesson(self, key: str, num_samples: int) -> Lesson | None:
        """Return what a teacher made of a recording before, or None if it has to convert it (again)."""
        try:
            plain = read_signed(self.lesson(key))
            lesson = Lesson(**{name: value for name, value in plain.items() if name != KEY})
        except (*UNREADABLE, TypeError):
            return None
        is_complete = lesson.problem is not None or self._packed.find(WAVEFORM, key) is not None
        return lesson if is_complete or matches(self.lesson_waveform(key), num_samples) else None

    def find_spoken(self, key: str, num_samples: int) -> Rows:
        """Return where the waveform lies that the dataset has of a recording: the teacher's, if there is one."""
        if self._lesson is None:
            return self.find_waveform(key, num_samples)
        return self._packed.find(WAVEFORM, key) or Rows(self.lesson_waveform(key), 0, num_samples)

    @property
    def _lesson_digits(self) -> str:
        assert self._lesson is not None, "there is no teacher"
        return self._lesson[:SHORT]

    def find_feature(self, key: str, name: str, part_frames: list[int]) -> list[Rows]:
        """Return where a feature of a recording lies, whose parts have these lengths."""
        packed = self._packed.find(name, key)
        if packed is not None:
            return [packed]
        return [Rows(self.feature(key, name, part), 0, frames) for part, frames in enumerate(part_frames)]

    def packed_checksum(self, path: Path) -> str | None:
        """Return the checksum of an array of the dataset that is whole, None of any other file."""
        return self._packed.checksum(path)

    def missing(self, key: str, part: int, num_frames: int) -> list[str]:
        """Return the features of a part that have to be computed."""
        return [
            name
            for name in self._features
            if self._packed.find(name, key) is None and not matches(self.feature(key, name, part), num_frames)
        ]

    def prune(self, keys: set[str], packed_keys: set[str]) -> None:
        """Remove recordings that are gone, results of other settings, and unfinished files. Only while no worker runs.

        A link of somebody may lead from here to a folder of other things: whatever has none of our names stays.

        Args:
            keys: recordings that are there.
            packed_keys: those among them whose arrays are in the dataset now.
        """
        made_of = [self._reading, *self._features.values(), *([self._lesson] if self._lesson else [])]
        current = {value[:SHORT] for value in made_of}
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            if not FOLDER_NAME.fullmatch(folder.name) or folder.is_symlink():
                continue
            if folder.name not in keys:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for path in folder.iterdir():
                fingerprint = path.name.partition(".")[0].rpartition("-")[2]
                if fingerprint not in current or (folder.name in packed_keys and path.suffix == ".npy"):
                    path.unlink(missing_ok=True)


def parts_of(clips: list[Span]) -> list[list[Span]]:
    """Group neighbouring clips into parts of about a minute, the unit of work and of resuming."""
    parts: list[list[Span]] = []
    frames = PART_FRAMES
    for clip in clips:
        if frames >= PART_FRAMES:
            parts.append([])
            frames = 0
        parts[-1].append(clip)
        frames += clip.length
    return parts
