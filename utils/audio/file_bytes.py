"""The bytes of a file as a sequence, of any length in little memory."""

import os
from typing import IO

CHUNK_BYTES = 1 << 20


class FileBytes:
    """Reads what is asked for: a map of a recording of hours would not fit into what its decoder may have.

    Args:
        stream: of the file, binary.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._size = os.fstat(stream.fileno()).st_size
        self._first, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Return the bytes of a slice without a step; fewer where the file ends before."""
        start, stop, _ = part.indices(self._size)
        stop = max(start, stop)
        self._look_at(start, stop)
        return self._window[start - self._first : stop - self._first]

    def find(self, word: bytes, start: int) -> int:
        """Return where a word begins, from a place on; -1 where it does not."""
        while start + len(word) <= self._size:
            self._look_at(start, start + len(word))
            found = self._window.find(word, start - self._first)
            if found >= 0:
                return self._first + found
            if len(self._window) < len(word):  # the file has become shorter
                return -1
            start = max(start + 1, self._first + len(self._window) - len(word) + 1)
        return -1

    def has_other_than_zeros(self, start: int, stop: int) -> bool:
        """Whether one of the bytes in a part is not 0."""
        return any(any(self[first : min(first + CHUNK_BYTES, stop)]) for first in range(start, stop, CHUNK_BYTES))

    def _look_at(self, start: int, stop: int) -> None:
        """Have these bytes in the window; what is asked for next mostly lies behind them."""
        if not self._first <= start <= stop <= self._first + len(self._window):
            self._stream.seek(start)
            self._first, self._window = start, self._stream.read(max(CHUNK_BYTES, stop - start))
