"""The clips of a dataset, one line each."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from utils.corpus.split import Split
from utils.errors import FormatError


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


def read_manifest(path: Path) -> list[Clip]:
    """Read a manifest file.

    Raises:
        FormatError: if it is absent or damaged.
    """
    names = {item.name for item in fields(Clip)}
    clips = []
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:  # names may hold other characters that end lines
            for line in stream:
                row = json.loads(line)
                clips.append(Clip(**{name: row[name] for name in names}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is missing or damaged ({error}); run preprocess.py again") from error
    return clips
