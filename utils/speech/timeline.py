"""Sounds at their places in time, written in order and in bounded memory."""

from collections.abc import Callable

import numpy as np

SILENCE = 1 << 16  # samples that are written at a time


class Timeline:
    """Writes sounds that begin one after the other; where one goes on while the next begins, both are heard.

    Args:
        write: takes the next samples [n].
    Attributes:
        end: samples up to the end of what was placed.
    """

    def __init__(self, write: Callable[[np.ndarray], object]) -> None:
        self._write, self._written = write, 0
        self._pending = np.zeros(0, np.float32)  # from `_written` on

    @property
    def end(self) -> int:
        """Samples up to the end of what was placed."""
        return self._written + len(self._pending)

    def place(self, start: int, audio: np.ndarray) -> None:
        """Let audio [T] begin at a sample, none before where the last one began."""
        self.write_until(start)
        length = max(len(self._pending), len(audio))
        both = np.zeros(length, np.float32)
        both[: len(self._pending)] = self._pending
        both[: len(audio)] += audio
        self._pending = both

    def write_until(self, end: int) -> None:
        """Write all that lies before a sample, silence where nothing does."""
        ready, self._pending = np.split(self._pending, [max(0, end - self._written)])
        self._write(ready)
        self._written += len(ready)
        while self._written < end:
            silence = np.zeros(min(SILENCE, end - self._written), np.float32)
            self._write(silence)
            self._written += len(silence)
