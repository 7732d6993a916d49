"""Find the recordings of a folder, and choose some of many."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.audio.decoding import SOUND_SUFFIXES
from utils.errors import DataError
from utils.files import files_below


def list_audio(folder: Path) -> list[Path]:
    """Return the recordings directly in a folder or below it, sorted; hidden files (._a.wav of a Mac) are left out.

    Raises:
        DataError: if there are none.
    """
    paths = sorted(path for path in files_below(folder) if path.suffix.lower() in SOUND_SUFFIXES)
    if not paths:
        raise DataError(f"no recordings in {folder} (looked for {', '.join(sorted(SOUND_SUFFIXES)[:6])}, ...)")
    return paths


def spread(items: Sequence[Path], limit: int) -> list[Path]:
    """Return at most `limit` items, evenly spaced over the sequence."""
    if len(items) <= limit:
        return list(items)
    return [items[int(position)] for position in np.linspace(0, len(items) - 1, limit).round()]
