"""The arrays of a dataset as a store of results: what lies in them need not lie in the cache as well."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from utils.corpus.arrays import Rows
from utils.corpus.description import DatasetDescription, read_description
from utils.corpus.stored_array import DamagedFileError, StoredArray
from utils.errors import FormatError
from utils.files import read_json, sha256_of_json

DIGITS = 16  # of the hash in the name of a layout
WAVEFORM = "waveform"  # the audio of a dataset
RECORDED = "recorded"  # that of the recordings, where a teacher made the audio of them
SAMPLES = (WAVEFORM, RECORDED)  # arrays with a row for each sample, not for each frame
DAMAGED = (OSError, ValueError, TypeError, KeyError, RecursionError, FormatError)


class Origin(NamedTuple):
    """What a dataset was made of.

    Attributes:
        source: dataset.source as it was given.
        keys: hashes of the recordings' files.
    """

    source: str
    keys: frozenset[str]


def packed_from(folder: Path) -> Origin | None:
    """Return what the dataset in a folder was made of; None if there is none or it is damaged."""
    try:
        description, layout = _read(folder)
        return Origin(description.source, frozenset(str(key) for key, _ in layout))
    except DAMAGED:
        return None


@dataclass(frozen=True)
class PackedArray:
    """An array of a dataset that was looked at.

    Attributes:
        path: the file.
        checksum: of the file; None where it has none, or where some of it is damaged.
        damaged: first and end of each stretch of rows that is not what was written.
    """

    path: Path
    checksum: str | None
    damaged: list[tuple[int, int]]

    @classmethod
    def look_at(cls, path: Path, num_rows: int, checksum: str | None) -> "PackedArray | None":
        """Verify a file; None where it is not the one that is looked for."""
        try:
            array = StoredArray(path, checksum)
            damaged = array.damaged_rows()
        except DamagedFileError:
            return None
        return cls(path, None if damaged else array.checksum, damaged) if len(array) == num_rows else None

    def rows(self, first: int, count: int) -> Rows | None:
        """Return some rows, None where one of them is damaged."""
        is_damaged = any(first < end and start < first + count for start, end in self.damaged)
        return None if is_damaged else Rows(self.path, first, count)


class PackedResults:
    """Results of recordings in the arrays of the dataset as it stands.

    Args:
        offsets: key of a recording -> its first frame and number of frames.
        arrays: by name, only of what was made with the settings of now.
        hop_length: samples per frame of the waveform.
    """

    def __init__(self, offsets: dict[str, tuple[int, int]], arrays: dict[str, PackedArray], hop_length: int) -> None:
        self._offsets = offsets
        self._arrays = arrays
        self._hop_length = hop_length

    @classmethod
    def open(
        cls, folder: Path, reading: str, features: dict[str, str], hop_length: int, *, recorded: str | None = None
    ) -> "PackedResults":
        """Verify a dataset; one that is missing or made otherwise offers nothing, a damaged one what is whole of it.

        Args:
            folder: the dataset.
            reading: fingerprint of the waveforms as they are wanted.
            features: fingerprint of each feature by name, as wanted.
            hop_length: samples per frame.
            recorded: fingerprint of the recordings' own waveforms, where a teacher makes those of the dataset.
        """
        try:
            description, layout = _read(folder)
            offsets: dict[str, tuple[int, int]] = {}
            position = 0
            for key, frames in layout:
                offsets[key] = (position, int(frames))
                position += int(frames)
            wanted = {WAVEFORM: reading, **features} | ({RECORDED: recorded} if recorded else {})
            found = {name: item.fingerprint for name, item in description.features.items()}
            found[WAVEFORM] = description.reading_fingerprint
            if description.teacher is not None:
                found[RECORDED] = description.teacher.recordings
            paths = {name: folder / description.files[name] for name in wanted if found.get(name) == wanted[name]}
        except DAMAGED:
            return cls({}, {}, hop_length)
        arrays: dict[str, PackedArray] = {}
        for name, path in paths.items():
            rows = position * (hop_length if name in SAMPLES else 1)
            array = PackedArray.look_at(path, rows, description.checksums.get(name))
            if array is not None:
                arrays[name] = array
        return cls(offsets, arrays, hop_length)

    def find(self, name: str, key: str) -> Rows | None:
        """Return where the waveform or a feature of a recording lies, or None."""
        if name not in self._arrays or key not in self._offsets:
            return None
        first, count = self._offsets[key]
        scale = self._hop_length if name in SAMPLES else 1
        return self._arrays[name].rows(first * scale, count * scale)

    def checksum(self, path: Path) -> str | None:
        """Return the checksum of an array that is whole, None of any other."""
        return next((array.checksum for array in self._arrays.values() if array.path == path), None)


def layout_name(layout: list[list[Any]]) -> str:
    """Return the name of a file that says how arrays were put together: it tells its content."""
    return f"layout-{sha256_of_json(layout)[:DIGITS]}.json"


def _read(folder: Path) -> tuple[DatasetDescription, list[list[Any]]]:
    """Return the description of a dataset and, for each recording in order, its key and number of frames."""
    description = read_description(folder)
    layout = read_json(folder / description.files["layout"])
    if description.files["layout"] != layout_name(layout):
        raise ValueError("the name of the layout is not that of its content")
    return description, layout
