"""Read a prepared dataset."""

from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.io import int16_to_float
from utils.config import AudioConfig
from utils.corpus.arrays import DatasetArrays
from utils.corpus.description import DATASET_FILE, DatasetDescription, read_description
from utils.corpus.manifest import Clip, read_manifest
from utils.corpus.split import Split
from utils.corpus.stored_array import AGAIN, DamagedFileError
from utils.errors import DataError

VERIFIED_AT_ONCE = 256 << 20  # bytes: about 20 minutes of recordings; of more, what is read is verified when it is read


class CorpusStore:
    """A dataset on disk; what is read of its arrays is verified. Make it with `open`.

    Attributes:
        path: the folder where it lies.
        description: what dataset.json says.
        audio: rate and frames of the waveforms.
        speakers: names; the index is the speaker id.
        clips: all clips, in the order of the arrays.
        arrays: "waveform", [F * hop_length] int16, and the features, [F, ...], of all clips one behind the other.
    """

    def __init__(self, path: Path, description: DatasetDescription, clips: list[Clip]) -> None:
        self.path = path
        self.description = description
        self.clips = clips
        self.audio: AudioConfig = description.audio
        self.speakers: list[str] = description.speaker_names
        self._speaker_ids = {name: index for index, name in enumerate(self.speakers)}
        kinds = [name.split("_")[1] for name in description.features if name.startswith("content_")]
        self._num_copies = {kind: kinds.count(kind) for kind in kinds}
        self.arrays = self._open_arrays()

    @classmethod
    def open(cls, path: Path | str) -> "CorpusStore":
        """Open a dataset.

        Args:
            path: its folder, which has a dataset.json.
        Raises:
            FormatError: if there is none, it is of another version, or a file of it is missing or damaged.
                Of a large dataset, damage inside an array is found when that part is read.
        """
        folder = Path(path)
        description = read_description(folder)
        try:
            store = cls(folder, description, read_manifest(folder / description.files["manifest"]))
        except (KeyError, TypeError) as error:
            raise DamagedFileError(f"{folder / DATASET_FILE} is damaged ({error}); {AGAIN}") from error
        store.arrays.verify(VERIFIED_AT_ONCE)
        return store

    @property
    def fingerprint(self) -> str:
        """Hash of every feature's fingerprint and of the manifest: equal for equal data."""
        return self.description.fingerprint

    @property
    def content_dim(self) -> int:
        """D, size of a content vector."""
        return self.description.content_dim

    def num_copies(self, kind: str) -> int:
        """Return the number of content_<kind>_<k> features; kind is "perturbed", "noise" or "room"."""
        return self._num_copies.get(kind, 0)

    def split(self, name: Split) -> list[Clip]:
        """Return the clips to train on ("train") or the held-out ones ("val")."""
        if name not in ("train", "val"):
            raise ValueError(f"split {name!r} is not one of 'train', 'val'")
        return [clip for clip in self.clips if clip.split == name]

    def speaker_id(self, clip: Clip) -> int:
        """Return the index of the clip's speaker."""
        return self._speaker_ids[clip.speaker]

    def waveform(self, clip: Clip, first_frame: int = 0, num_frames: int | None = None) -> np.ndarray:
        """Return float32 [F * hop_length] of a clip, or of num_frames frames of it from first_frame on."""
        first, end = _range(clip, first_frame, num_frames)
        hop = self.audio.hop_length
        return int16_to_float(self.arrays.read("waveform", first * hop, end * hop))

    def feature(self, name: str, clip: Clip, first_frame: int = 0, num_frames: int | None = None) -> np.ndarray:
        """Return float32 [F, ...] of a feature ("content", "content_perturbed_<k>", "f0_hz", "loudness_db") of a clip.

        Raises:
            DataError: if the dataset has no such feature.
        """
        if name not in self.description.features:
            raise DataError(f"{self.path} has no feature {name!r}, only {', '.join(self.description.features)}")
        first, end = _range(clip, first_frame, num_frames)
        return self.arrays.read(name, first, end).astype(np.float32, copy=False)

    def sample_frames(self, name: str, clips: list[Clip], limit: int, *, seed: int) -> np.ndarray:
        """Return float32 [N, ...]: a feature's frames of some clips, at most `limit`, chosen at random and in order."""
        rows = np.concatenate([np.arange(*_range(clip, 0, None)) for clip in clips])
        if len(rows) > limit:
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), limit, replace=False))]
        return self.arrays.gather(name, rows).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        # the files are opened again in the other process
        return {key: value for key, value in self.__dict__.items() if key != "arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.arrays = self._open_arrays()

    def _open_arrays(self) -> DatasetArrays:
        frames = 0
        for clip in self.clips:
            if clip.frame_offset != frames or clip.speaker not in self._speaker_ids:
                words = f"clip {clip.id} is in no place of the arrays, or of no speaker"
                raise DamagedFileError(
                    f"{self.path / self.description.files['manifest']} is damaged ({words}); {AGAIN}"
                )
            frames += clip.num_frames
        names = ("waveform", *self.description.features)
        paths = {name: self.path / self.description.files[name] for name in names}
        arrays = DatasetArrays(paths, self.description.checksums)
        for name, path in paths.items():
            expected = frames * (self.audio.hop_length if name == "waveform" else 1)
            found = arrays.num_rows(name)
            if found != expected:
                raise DamagedFileError(f"{path} has {found} rows, expected {expected}; {AGAIN}")
            is_known = arrays[name].dtype == np.int16 if name == "waveform" else arrays[name].dtype.kind == "f"
            if not is_known or arrays[name].shape[1:] != self._row_shape(name):
                raise DamagedFileError(f"{path} holds {arrays[name].dtype} {arrays[name].shape}; {AGAIN}")
        return arrays

    def _row_shape(self, name: str) -> tuple[int, ...]:
        dim = None if name == "waveform" else self.description.features[name].dim
        return () if dim is None else (dim,)


def _range(clip: Clip, first_frame: int, num_frames: int | None) -> tuple[int, int]:
    length = clip.num_frames - first_frame if num_frames is None else num_frames
    if first_frame < 0 or length < 0 or first_frame + length > clip.num_frames:
        raise ValueError(f"frames {first_frame}+{num_frames} are outside of clip {clip.id} ({clip.num_frames} frames)")
    return clip.frame_offset + first_frame, clip.frame_offset + first_frame + length
