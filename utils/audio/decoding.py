"""Decode any sound file in blocks: libsndfile first, FFmpeg for what it cannot read, both in a process of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.audio.decoder import Decoder, Library
from utils.audio.decoder_process import RemoteDecoder
from utils.errors import DataError

SOUND_SUFFIXES = frozenset({
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".m4a", ".m4b", ".aac", ".wma", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".wv", ".ape", ".tta", ".mka", ".webm", ".mp4", ".m4v", ".mkv",
    ".mov", ".avi", ".amr", ".3gp", ".ac3", ".eac3", ".dts", ".gsm", ".voc", ".sph", ".nist", ".sd2", ".paf", ".svx",
    ".iff", ".mpc", ".spx",
})  # fmt: skip


def is_sound_by_content(path: Path) -> bool:
    """Say whether libsndfile recognises the content of a file, whatever its name."""
    try:
        with open_audio(path, library="libsndfile") as decoder:
            return any(len(block) for block in decoder.blocks())
    except DataError:
        return False


@contextmanager
def open_audio(
    path: Path, *, start_seconds: float = 0.0, library: Library = "any", headerless: str | None = None
) -> Iterator[Decoder]:
    """Open a sound file for reading in blocks.

    It is decoded in another process, within limits of time, memory, length, rate and channels: see decoder. Whatever is
    in the file, this process goes on.

    Args:
        path: the file.
        start_seconds: where the first block begins.
        library: "ffmpeg" leaves libsndfile out, "libsndfile" FFmpeg.
        headerless: format of a file that does not tell its own, such as "g722", which FFmpeg reads.
    Raises:
        DataError: if the file is missing, empty, no sound to either library or beyond the limits; from blocks() too.
    """
    opened = RemoteDecoder(path, start_seconds, library=library, headerless=headerless)
    try:
        yield opened
    finally:
        opened.close()
