"""Decode what libsndfile knows: WAV, FLAC, OGG, Opus, MP3, AIFF, AU, CAF, W64 and more."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from utils.audio.decoder import BLOCK_SAMPLES
from utils.errors import DataError

STREAMED_HEADER_BYTES = 0x7FFFFFF0  # sizes from here on are placeholders of programs that wrote to a pipe
SLOPPY_HEADER_BYTES = 4096  # many recorders are wrong by a few bytes; that is no cut


class SndfileDecoder:
    """Reads a sound file by libsndfile.

    Args:
        path: the file.
        start_seconds: where the first block begins.
    Raises:
        DataError: if it holds no sound that libsndfile can read.
    """

    name: Literal["libsndfile", "ffmpeg"] = "libsndfile"

    def __init__(self, path: Path, start_seconds: float = 0.0) -> None:
        try:
            self._file = soundfile.SoundFile(os.fsencode(path))  # bytes: a name need not be UTF-8
        except (soundfile.LibsndfileError, TypeError) as error:
            # TypeError: a headerless format (.raw), which needs a rate that nobody can guess
            raise DataError(f"{path} is not a sound file that libsndfile can read ({_reason(error)})") from error
        self.sample_rate = self._file.samplerate
        self.num_channels = self._file.channels
        self.problem: str | None = None
        self.is_stuck = False
        self._skip = round(start_seconds * self.sample_rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 [n, C]; never raises for bad content."""
        decoded = 0
        try:
            if self._skip and self._file.seekable():
                decoded = self._file.seek(min(self._skip, self._file.frames))
            while len(block := self._file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                decoded += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            self.problem = f"decoding stopped after {decoded / self.sample_rate:.2f} s ({_reason(error)})"
            self.is_stuck = True
            return
        self.is_stuck = decoded == 0
        self.problem = self._shortage(decoded) or self._contradiction()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _shortage(self, decoded: int) -> str | None:
        """Return how much the header promised when clearly less was decoded."""
        promised = self._file.frames
        for found in re.finditer(r": (\d+) \(should be (\d+)\)", self._file.extra_info):
            stated, present = int(found[1]), int(found[2])
            if present and present + SLOPPY_HEADER_BYTES < stated < STREAMED_HEADER_BYTES:
                promised = max(promised, round(decoded * stated / present))
        if promised > decoded + self.sample_rate // 10:
            return f"cut short: {decoded / self.sample_rate:.2f} s of {promised / self.sample_rate:.2f} s decoded"
        return None

    def _contradiction(self) -> str | None:
        """Return what the header says twice, and not the same."""
        notes = self._file.extra_info
        rate = re.search(r"Bytes/sec *: (\d+) \(should be (\d+)\)", notes)
        if rate:
            return (
                f"its header contradicts itself: {rate[1]} bytes a second at {self.sample_rate} Hz, {rate[2]} expected"
            )
        if re.search(r"^\*\*\*.* frame count", notes, re.MULTILINE | re.IGNORECASE):
            return "its header contradicts itself about its length"
        return None


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".") or "the decoder gave up"
