"""The arrays of a dataset as a store of results: what lies in them need not lie in the cache as well."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from utils.corpus.arrays import Rows, matches
from utils.corpus.description import DATASET_FILE, DatasetDescription
from utils.errors import ConfigError

DAMAGED = (OSError, ValueError, TypeError, KeyError, ConfigError)


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


class PackedResults:
    """Results of recordings in the arrays of the dataset as it stands.

    Args:
        offsets: key of a recording -> its first frame and number of frames.
        arrays: name -> file, only of what was made with the settings of now.
        hop_length: samples per frame of the waveform.
    """

    def __init__(self, offsets: dict[str, tuple[int, int]], arrays: dict[str, Path], hop_length: int) -> None:
        self._offsets = offsets
        self._arrays = arrays
        self._hop_length = hop_length

    @classmethod
    def open(cls, folder: Path, reading: str, features: dict[str, str], hop_length: int) -> "PackedResults":
        """Look at a dataset; one that is missing, damaged or made otherwise offers nothing.

        Args:
            folder: the dataset.
            reading: fingerprint of the waveforms as they are wanted.
            features: fingerprint of each feature by name, as wanted.
            hop_length: samples per frame.
        """
        try:
            description, layout = _read(folder)
            offsets: dict[str, tuple[int, int]] = {}
            position = 0
            for key, frames in layout:
                offsets[key] = (position, int(frames))
                position += int(frames)
            wanted = {"waveform": reading, **features}
            found = {name: item.fingerprint for name, item in description.features.items()}
            found["waveform"] = description.reading_fingerprint
            paths = {name: folder / description.files[name] for name in wanted if found.get(name) == wanted[name]}
        except DAMAGED:
            return cls({}, {}, hop_length)
        rows = {name: position * (hop_length if name == "waveform" else 1) for name in paths}
        return cls(offsets, {name: path for name, path in paths.items() if matches(path, rows[name])}, hop_length)

    def find(self, name: str, key: str) -> Rows | None:
        """Return where the waveform or a feature of a recording lies, or None."""
        if name not in self._arrays or key not in self._offsets:
            return None
        first, count = self._offsets[key]
        scale = self._hop_length if name == "waveform" else 1
        return Rows(self._arrays[name], first * scale, count * scale)


def _read(folder: Path) -> tuple[DatasetDescription, list[list[Any]]]:
    """Return the description of a dataset and, for each recording in order, its key and number of frames."""
    description = DatasetDescription.from_plain(json.loads((folder / DATASET_FILE).read_text("utf-8")))
    return description, json.loads((folder / description.files["layout"]).read_text("utf-8"))
