"""The clips of a dataset, one line each."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from utils.corpus.split import Split
from utils.corpus.stored_array import AGAIN, DamagedFileError
from utils.files import read_file, sha256_of_json

DIGITS = 16  # of the hash in its name


@dataclass(frozen=True)
class Clip:
    """A part of a recording.

    Attributes:
        id: unique in the dataset; stable while the recording and the reading settings stay.
        source: the recording's path below dataset.source.
        start_seconds: where it begins in the recording.
        duration_seconds: its length without padding.
        num_frames: its length in the arrays; the last frame may be padded with zeros.
        frame_offset: its first frame in the arrays.
        speaker: name.
        split: "train" or "val".
        checksum: of the recording's decoded samples.
    """

    id: str
    source: str
    start_seconds: float
    duration_seconds: float
    num_frames: int
    frame_offset: int
    speaker: str
    split: Split
    checksum: str


def manifest_text(clips: Iterable[Clip]) -> str:
    """Return the manifest file's text: one JSON object a line."""
    return "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips)


def manifest_name(text: str) -> str:
    """Return the name of a manifest file: it tells its content."""
    return f"manifest-{sha256_of_json(text)[:DIGITS]}.jsonl"


def read_manifest(path: Path) -> list[Clip]:
    """Read a manifest file.

    Raises:
        DamagedFileError: if it is absent, or not what its name says.
    """
    try:
        text = read_file(path).decode("utf-8")
        if path.name.startswith("manifest-") and path.name != manifest_name(text):
            raise ValueError("its name is not that of its content")
        # names may hold other characters that end lines
        return [_clip(json.loads(line)) for line in text.split("\n") if line]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is missing or damaged ({error}); {AGAIN}") from error


def _clip(row: Any) -> Clip:
    clip = Clip(**{item.name: row[item.name] for item in fields(Clip)})
    numbers = (clip.num_frames, clip.frame_offset)
    if clip.split not in ("train", "val") or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError(f"split or frames of clip {clip.id}")
    return clip
