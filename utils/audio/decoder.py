"""What an opened sound file is, and what a file may be to be decoded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from utils.errors import DataError

Library = Literal["any", "libsndfile", "ffmpeg"]
BLOCK_SAMPLES = 1 << 16
LOWEST_RATE, HIGHEST_RATE = 4000, 768_000
MOST_CHANNELS = 64
LONGEST_HOURS = 48.0
# The sparsest speech is AMR's silence, about 80 bytes a second; speech itself takes 300 and more. What promises more
# sound than that, beyond a little that is free, is a few bytes repeated: hours that cost a machine its disk.
FREE_SECONDS = 600.0
LEAST_BYTES_PER_SECOND = 100.0
BROKEN_LEVEL = 1000.0  # +60 dBFS: no recording is that loud, but a flipped bit of a float is


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
        """Yield float32 [n, C] until the end or until nothing more can be decoded."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def check_format(path: Path, sample_rate: int, num_channels: int) -> None:
    """Refuse what no recording has.

    Raises:
        DataError: if the rate is not from 4 to 768 kHz, or there are not 1 to 64 channels.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise DataError(
            f"{path} is no recording: its header says {sample_rate} Hz, allowed are {LOWEST_RATE} to {HIGHEST_RATE}"
        )
    if not 1 <= num_channels <= MOST_CHANNELS:
        raise DataError(f"{path} is no recording: it has {num_channels} channels, allowed are 1 to {MOST_CHANNELS}")


def longest_seconds(num_bytes: int) -> float:
    """Return how much sound a file of that size can hold."""
    return min(3600 * LONGEST_HOURS, FREE_SECONDS + num_bytes / LEAST_BYTES_PER_SECOND)


def too_long(path: Path, num_bytes: int) -> DataError:
    """Return the error of a file that holds more than longest_seconds."""
    limit = longest_seconds(num_bytes)
    if limit >= 3600 * LONGEST_HOURS:
        return DataError(f"{path} is longer than {LONGEST_HOURS:g} hours; cut it into parts")
    return DataError(
        f"{path} holds more than {limit / 60:.0f} minutes of sound in {num_bytes} bytes, which is no recording; if it "
        "is one, convert it to WAV"
    )


def without_broken(block: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return samples [n, C] with 0 for those that are no numbers or beyond +60 dBFS, and which rows had one, bool [n].

    The second is None where all are sound.
    """
    if not len(block) or (block.min() >= -BROKEN_LEVEL and block.max() <= BROKEN_LEVEL):  # false for NaN
        return block, None
    broken = ~(np.abs(block) <= BROKEN_LEVEL)
    return np.where(broken, np.float32(0), block), broken.any(axis=1)
