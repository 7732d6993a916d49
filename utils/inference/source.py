"""A recording at a graph's rate. A long one waits on disk, so memory does not grow with its length."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from utils.audio.mono import MonoSource, decode_mono

SPOOL_BYTES = 16 << 20  # three minutes at 24 kHz stay in memory
SAMPLE_BYTES = 4


class Sound(Protocol):
    """Mono audio of which parts can be read."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def read(self, first: int, end: int) -> np.ndarray:
        """Return the samples [first, end), float32."""
        ...


class ArraySound:
    """A Sound of an array [T]."""

    def __init__(self, samples: np.ndarray) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, first: int, end: int) -> np.ndarray:
        """Return the samples [first, end)."""
        return self._samples[first:end]


class SpooledSound:
    """A Sound that is written once, from its beginning to its end, and read in any order; long ones lie on disk.

    It closes at the end of a `with`.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  closed by close
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    def clear(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._length = 0

    def append(self, block: np.ndarray, /) -> None:
        """Write the next samples [n]."""
        self._file.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
        self._length += len(block)

    def read(self, first: int, end: int) -> np.ndarray:
        """Return the samples [first, end), float32; writing is over then."""
        self._file.seek(first * SAMPLE_BYTES)
        return np.frombuffer(self._file.read(max(0, end - first) * SAMPLE_BYTES), dtype=np.float32)

    def close(self) -> None:
        """Give memory and disk back."""
        self._file.close()


class SourceAudio:
    """A recording at the graph's rate, mono, with what it was before. It is a Sound, and closes at the end of a `with`.

    Attributes:
        original_rate: samples per second of the file.
        original_channels: of the file.
        original_samples: of each channel of the file.
        problem: what is wrong with the file although some of it could be read; None when nothing is.
    """

    def __init__(self, sound: SpooledSound, origin: MonoSource) -> None:
        self._sound = sound
        self.original_rate = origin.sample_rate
        self.original_channels = origin.num_channels
        self.original_samples = origin.num_samples
        self.problem = origin.problem

    def __len__(self) -> int:
        return len(self._sound)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give memory and disk back."""
        self._sound.close()

    def read(self, first: int, end: int) -> np.ndarray:
        """Return the samples [first, end), float32."""
        return self._sound.read(first, end)

    @property
    def samples(self) -> np.ndarray:
        """The whole recording, [T] float32, in memory."""
        return self.read(0, len(self))


def read_source(path: Path, sample_rate: int, channel: int | None = None) -> SourceAudio:
    """Read a recording as mono at a rate, the mean of its channels or one of them.

    Raises:
        DataError: if it cannot be read.
    """
    sound = SpooledSound()
    try:
        return SourceAudio(sound, decode_mono(path, sample_rate, sound, channel=channel))
    except BaseException:
        sound.close()
        raise
