"""Put the results of all recordings together into the arrays of a dataset, and switch over in one step."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.frames import FRAME_RATE
from utils.config import AudioConfig
from utils.corpus.arrays import Rows, concatenate, known_checksum
from utils.corpus.cache import SHORT, Cache, parts_of
from utils.corpus.copies import Copy
from utils.corpus.description import DATASET_FILE, DatasetDescription, SpeakerDescription, read_description
from utils.corpus.manifest import Clip, manifest_name, manifest_text, read_manifest
from utils.corpus.packed_reader import RECORDED, SAMPLES, WAVEFORM, layout_name
from utils.corpus.recording import Recording, clip_seconds
from utils.corpus.signed_json import signed
from utils.corpus.sources import SourceFile
from utils.corpus.split import Before, HeldOutSettings, Split, SplitFile, assign_splits
from utils.corpus.stored_array import DamagedFileError, StoredArray
from utils.errors import FormatError
from utils.files import atomic_write_json, atomic_write_text, sha256_of_json

ARRAY_NAME = re.compile(rf"\w+-[0-9a-f]{{{SHORT}}}\.npy|\..*\.tmp")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackItem:
    """A recording that goes into the dataset.

    Attributes:
        file: where it came from.
        key: its place in the cache.
        recording: what was read.
    """

    file: SourceFile
    key: str
    recording: Recording


def previous_splits(folder: Path, held_out: HeldOutSettings) -> dict[str, Before]:
    """Return checksum -> split of the dataset as it stands.

    Args:
        folder: the dataset.
        held_out: the settings of now; the splits of a dataset made with others do not count.
    """
    try:
        description = read_description(folder)
        clips = read_manifest(folder / description.files["manifest"])
    except DamagedFileError as error:
        log.warning("the held-out recordings are chosen anew: %s", str(error).rpartition(";")[0])
        return {}
    except (FormatError, KeyError):
        return {}
    if description.held_out != held_out:
        return {}
    seen: dict[str, set[Split]] = {}
    for clip in clips:
        seen.setdefault(clip.checksum, set()).add(clip.split)
    return {key: "both" if len(splits) > 1 else next(iter(splits)) for key, splits in seen.items()}


def split_clips(
    items: list[PackItem],
    audio: AudioConfig,
    previous: dict[str, Before],
    held_out: HeldOutSettings,
    copies: Sequence[Copy] = (),
) -> list[Clip]:
    """Lay the clips of all recordings one behind the other and give each its split, see assign_splits."""
    files = [
        SplitFile(
            checksum=item.recording.checksum,
            speaker=item.file.speaker,
            clip_frames=tuple(clip.length for clip in item.recording.clips),
        )
        for item in items
    ]
    splits = assign_splits(files, previous, held_out, copies)
    clips: list[Clip] = []
    offset = 0
    for item in items:
        for index, span in enumerate(item.recording.clips):
            clips.append(
                Clip(
                    id=f"{item.recording.checksum[:12]}_{index:04d}",
                    source=item.file.source,
                    start_seconds=span.first / FRAME_RATE,
                    duration_seconds=round(clip_seconds(item.recording, span, audio.sample_rate), 5),
                    num_frames=span.length,
                    frame_offset=offset,
                    speaker=item.file.speaker,
                    split=splits[item.recording.checksum][index],
                    checksum=item.recording.checksum,
                )
            )
            offset += span.length
    return clips


def pack(folder: Path, items: list[PackItem], clips: list[Clip], *, cache: Cache, plan: DatasetDescription) -> None:
    """Write the arrays and the manifest under new names, then dataset.json, which names them.

    A reader sees the old dataset until dataset.json is replaced, and the new one from then on. An array whose content
    would be the same is kept.

    Args:
        folder: the dataset.
        items: the recordings in their order.
        clips: their clips in the same order.
        cache: where their results lie, all complete.
        plan: the dataset to be, without its files.
    """
    layout = [[item.key, item.recording.num_frames] for item in items]
    files = {WAVEFORM: _array_name(WAVEFORM, plan.reading_fingerprint, layout)}
    if plan.teacher is not None:
        files[RECORDED] = _array_name(RECORDED, plan.teacher.recordings, layout)
    files |= {name: _array_name(name, feature.fingerprint, layout) for name, feature in plan.features.items()}
    checksums = {name: _pack_array(folder / path, name, items, cache=cache, plan=plan) for name, path in files.items()}
    text = manifest_text(clips)
    files["manifest"] = manifest_name(text)
    atomic_write_text(folder / files["manifest"], text)
    files["layout"] = layout_name(layout)
    atomic_write_json(folder / files["layout"], layout)
    atomic_write_json(folder / DATASET_FILE, signed(replace(plan, files=files, checksums=checksums).to_plain()))
    _remove_old(folder, set(files.values()))


def _array_name(name: str, fingerprint: str, layout: list[list[Any]]) -> str:
    """Return a path below the dataset's folder that tells what the array is made of."""
    return f"arrays/{name}-{sha256_of_json([fingerprint, layout])[:SHORT]}.npy"


def _pack_array(path: Path, name: str, items: list[PackItem], *, cache: Cache, plan: DatasetDescription) -> str:
    """Write an array of waveforms or of a feature, unless it is there; returns its checksum."""
    frames = sum(item.recording.num_frames for item in items)
    shape: tuple[int, ...]
    dtype: type[np.generic]
    if name in SAMPLES:
        shape, dtype = (frames * plan.audio.hop_length,), np.int16
    else:
        feature = plan.features[name]
        shape = (frames,) if feature.dim is None else (frames, feature.dim)
        dtype = np.float16 if feature.dtype == "float16" else np.float32
    # an array from before there were checksums is copied, to get some
    checksum = cache.packed_checksum(path) or known_checksum(path, shape[0])
    if checksum is None:
        concatenate(path, [rows for item in items for rows in _find(name, item, cache, plan)], shape, dtype)
        checksum = StoredArray(path).checksum
    assert checksum is not None
    return checksum


def _find(name: str, item: PackItem, cache: Cache, plan: DatasetDescription) -> list[Rows]:
    """Return where a waveform or a feature of a recording lies."""
    if name in SAMPLES:
        find = cache.find_spoken if name == WAVEFORM else cache.find_waveform
        return [find(item.key, item.recording.num_frames * plan.audio.hop_length)]
    return cache.find_feature(item.key, name, _part_frames(item))


def _part_frames(item: PackItem) -> list[int]:
    """Return the lengths of a recording's parts."""
    return [sum(clip.length for clip in part) for part in parts_of(item.recording.clips)]


def describe_speakers(items: list[PackItem], cache: Cache, clips: list[Clip]) -> tuple[SpeakerDescription, ...]:
    """Describe each speaker, sorted by name."""
    return tuple(_describe_speaker(name, items, cache, clips) for name in sorted({item.file.speaker for item in items}))


def _describe_speaker(name: str, items: list[PackItem], cache: Cache, clips: list[Clip]) -> SpeakerDescription:
    own = [clip for clip in clips if clip.speaker == name]
    f0_hz = np.concatenate([load_feature(cache, item, "f0_hz") for item in items if item.file.speaker == name])
    voiced = f0_hz[f0_hz > 0]
    return SpeakerDescription(
        name=name,
        minutes=round(sum(clip.duration_seconds for clip in own) / 60, 4),
        files=len({clip.checksum for clip in own}),
        clips=len(own),
        held_out_minutes=round(sum(clip.duration_seconds for clip in own if clip.split == "val") / 60, 4),
        f0_median_hz=round(float(np.median(voiced)), 2) if len(voiced) else None,
    )


def load_feature(cache: Cache, item: PackItem, name: str) -> np.ndarray:
    """Return a feature of all clips of a recording, [F, ...]."""
    return np.concatenate([rows.load() for rows in cache.find_feature(item.key, name, _part_frames(item))])


def _remove_old(folder: Path, current: set[str]) -> None:
    """Remove what dataset.json does not name any more, and unfinished files of killed runs.

    A link of somebody may lead from here to a folder of other things: whatever has none of our names stays.
    """
    described = [*folder.glob("manifest-*.jsonl"), *folder.glob("layout-*.json")]
    arrays = [path for path in (folder / "arrays").iterdir() if ARRAY_NAME.fullmatch(path.name)]
    for path in [*described, *folder.glob(".*.tmp"), *arrays]:
        if path.relative_to(folder).as_posix() not in current and path.is_file():
            path.unlink(missing_ok=True)
