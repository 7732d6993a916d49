"""Decode any sound file block by block: libsndfile first, FFmpeg for what it cannot read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import soundfile

from utils.audio.ffmpeg_decoder import BLOCK_SAMPLES, FfmpegDecoder
from utils.errors import DataError

STREAMED_HEADER_BYTES = 0x7FFFFFF0  # sizes from here on are placeholders of programs that wrote to a pipe
SLOPPY_HEADER_BYTES = 4096  # many recorders are wrong by a few bytes; that is no cut
SOUND_SUFFIXES = frozenset({
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".m4a", ".m4b", ".aac", ".wma", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".wv", ".ape", ".tta", ".mka", ".webm", ".mp4", ".m4v", ".mkv",
    ".mov", ".avi", ".amr", ".3gp", ".ac3", ".eac3", ".dts", ".gsm", ".voc", ".sph", ".nist", ".sd2", ".paf", ".svx",
    ".iff", ".mpc", ".spx",
})  # fmt: skip


class Decoder(Protocol):
    """An opened sound file.

    Attributes:
        name: the library that reads it.
        sample_rate: samples per second.
        num_channels: channels in each block.
        problem: what went wrong, known after the last block; None when the file was read to its end.
        is_stuck: whether the decoder gave up on content that another one may read.
    """

    name: Literal["libsndfile", "ffmpeg"]
    sample_rate: int
    num_channels: int
    problem: str | None
    is_stuck: bool

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 [n, C] until the end or until nothing more can be decoded; never raises for bad content."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class SndfileDecoder:
    """Reads WAV, FLAC, OGG, Opus, MP3, AIFF, AU, CAF, W64 and whatever else this libsndfile knows."""

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
        """Yield float32 [n, C]."""
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
        self.problem = self._shortage(decoded)

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


def is_sound_by_content(path: Path) -> bool:
    """Say whether libsndfile recognises the content of a file, whatever its name."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as stream:
            return bool(stream.frames > 0)
    except (soundfile.LibsndfileError, TypeError, OSError):
        return False


@contextmanager
def open_audio(
    path: Path, *, start_seconds: float = 0.0, library: Literal["any", "ffmpeg"] = "any"
) -> Iterator[Decoder]:
    """Open a sound file for reading in blocks.

    Args:
        path: the file.
        start_seconds: where the first block begins.
        library: "ffmpeg" leaves libsndfile out.
    Raises:
        DataError: if the file is missing, empty, or no sound to either library.
    """
    opened = _open(path, start_seconds, library)
    try:
        yield opened
    finally:
        opened.close()


def _open(path: Path, start_seconds: float, library: Literal["any", "ffmpeg"]) -> Decoder:
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    first: DataError | None = None
    if library == "any":
        try:
            return SndfileDecoder(path, start_seconds)
        except DataError as error:
            first = error
    try:
        return FfmpegDecoder(path, start_seconds)
    except DataError as error:
        raise DataError(f"{first}, nor can ffmpeg" if first else str(error)) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".") or "the decoder gave up"
