"""A NumPy file and behind its data the checksums of its blocks; what is read of it is verified first.

    header and data as NumPy writes them | CRC-32 of the header and of each block of data, 4 bytes | footer

NumPy reads such a file as any other: it does not look behind the data. Files are read, never mapped: one that shrinks
while it is mapped ends the process without a word (SIGBUS).
"""

import io
import math
import os
import struct
import tokenize
import weakref
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np

from utils.errors import FormatError
from utils.files import open_descriptor

MAGIC = b"VOCLOCRC"
BLOCK_BYTES = 1 << 14  # an excerpt of a second is a few of them, so that little more than it has to be verified
BLOCK_SIZES = range(1 << 9, (1 << 24) + 1)
FOOTER = struct.Struct("<8sIQI")  # MAGIC, bytes of a block, bytes of header and data, CRC-32 of all behind the data
HEADER_BYTES = 1 << 12
CHUNK_BLOCKS = 256  # read at once where all of a file is looked at
GATHER_BYTES = 1 << 18
AGAIN = "run preprocess.py again"
# NumPy takes a header for Python's own text
UNREADABLE_HEADER = (
    ValueError, OSError, EOFError, SyntaxError, tokenize.TokenError, TypeError, LookupError, OverflowError,
    RecursionError, MemoryError,
)  # fmt: skip


class DamagedFileError(FormatError):
    """A file of a dataset is not what preprocess.py wrote; it can be made again."""


class StoredArray:
    """An array file that is open for reading.

    Args:
        path: the .npy file.
        checksum: what `checksum` must be; None takes any, and files from before there were checksums.

    Attributes:
        path: the file.
        shape: of the array.
        dtype: of the array.
        checksum: of the whole file, 8 hexadecimal digits; None for a file from before there were checksums.
    Raises:
        DamagedFileError: if it is missing, of another size than it says, or damaged where it says so.
    """

    def __init__(self, path: Path, checksum: str | None = None) -> None:
        self.path = path
        try:
            self._file = open_descriptor(path)
        except OSError as error:
            raise DamagedFileError(f"{path} is missing or cannot be read ({error.strerror}); {AGAIN}") from error
        weakref.finalize(self, os.close, self._file)
        size = os.fstat(self._file).st_size
        self._start = self._read_header(size)
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        self._end = self._start + self._row_bytes * self.shape[0]
        self._block_bytes = BLOCK_BYTES
        self.checksum: str | None = None
        self._sums = self._read_sums(size)
        if checksum is not None and checksum != self.checksum:
            self._refuse("it is not the file that the dataset was made with")

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        return self._end - self._start

    def read(self, first: int, end: int) -> np.ndarray:
        """Return rows first..end-1, verified; what lies behind the last row is left out, as slices do.

        Raises:
            DamagedFileError: if they are not what was written, or the file has become shorter.
        """
        first, end = min(first, len(self)), min(end, len(self))
        start = first * self._row_bytes
        data = self._read_bytes(start, start + max(0, end - first) * self._row_bytes)
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows, given by ascending numbers."""
        window = max(1, GATHER_BYTES // self._row_bytes)
        pieces = np.split(rows, np.flatnonzero(np.diff(rows // window)) + 1) if len(rows) else []
        parts = [self.read(int(piece[0]), int(piece[-1]) + 1)[piece - piece[0]] for piece in pieces]
        return np.concatenate(parts) if parts else self.read(0, 0)

    def damaged_rows(self) -> list[tuple[int, int]]:
        """Return first and end of each stretch of rows that is not what was written; none where nobody knows."""
        if self._sums is None:
            return []
        found: list[tuple[int, int]] = []
        for number in self._damaged_blocks():
            first = number * self._block_bytes // self._row_bytes
            end = -(-(number + 1) * self._block_bytes // self._row_bytes)
            found.append((first, min(end, len(self))))
        return found

    def verify(self) -> None:
        """Look at all of the file.

        Raises:
            DamagedFileError: if some of it is not what was written.
        """
        if self._sums is not None and self._damaged_blocks():
            self._refuse("a checksum is wrong")

    def _damaged_blocks(self) -> list[int]:
        assert self._sums is not None
        wrong: list[int] = []
        for number in range(0, len(self._sums), CHUNK_BLOCKS):
            start = number * self._block_bytes
            data = self._pread(
                self._start + start, min(self._start + start + CHUNK_BLOCKS * self._block_bytes, self._end)
            )
            wrong += [number + index for index in self._wrong_sums(data, number)]
        return wrong

    def _read_bytes(self, start: int, stop: int) -> bytearray:
        """Return bytes of the data, verified."""
        if self._sums is None or stop <= start:
            return bytearray(self._pread(self._start + start, self._start + stop))
        number = start // self._block_bytes
        low = number * self._block_bytes
        high = min(self._start - (-stop // self._block_bytes) * self._block_bytes, self._end)
        data = self._pread(self._start + low, high)
        if self._wrong_sums(data, number):
            self._refuse("a checksum is wrong")
        return bytearray(memoryview(data)[start - low : stop - low])

    def _wrong_sums(self, data: bytes, first: int) -> list[int]:
        """Return which blocks of data have another checksum than the file says; `first` is the number of the first."""
        assert self._sums is not None
        size, view = self._block_bytes, memoryview(data)
        sums = self._sums[first : first - (-len(data) // size)].tolist()
        return [
            index for index, known in enumerate(sums) if zlib.crc32(view[index * size : (index + 1) * size]) != known
        ]

    def _pread(self, start: int, stop: int) -> bytes:
        """Read bytes start..stop-1."""
        parts: list[bytes] = []
        while start < stop:
            try:
                part = _read_at(self._file, stop - start, start)
            except OSError as error:
                raise DamagedFileError(f"{self.path} cannot be read ({error.strerror}); check its disk") from error
            if not part:
                self._refuse("it has become shorter")
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_header(self, size: int) -> int:
        """Read shape and type; returns where the data begins."""
        stream = io.BytesIO(self._pread(0, min(size, HEADER_BYTES)))
        try:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            if is_fortran or dtype.hasobject or not shape or min(shape) < 0 or 0 in shape[1:]:
                raise ValueError(f"shape {shape} of {dtype}")
        except UNREADABLE_HEADER as error:
            self._refuse("it does not begin as an array", error)
        self.shape: tuple[int, ...] = tuple(int(length) for length in shape)
        self.dtype: np.dtype = dtype
        return stream.tell()

    def _read_sums(self, size: int) -> np.ndarray | None:
        """Read the checksums of the blocks of data, uint32; None where there are none."""
        if size == self._end:
            return None
        if size < self._end:
            self._refuse("it ends too early")
        tail = self._pread(self._end, size)
        if len(tail) < FOOTER.size:
            self._refuse("its end is unknown")
        magic, block_bytes, length, checksum = FOOTER.unpack(tail[-FOOTER.size :])
        is_ours = magic == MAGIC and block_bytes in BLOCK_SIZES and length == self._end
        if not is_ours or len(tail) != 4 * (1 - (-self.nbytes // block_bytes)) + FOOTER.size:
            self._refuse("its end is unknown")
        sums = np.frombuffer(tail[: -FOOTER.size], "<u4")
        if zlib.crc32(tail[:-4]) != checksum or zlib.crc32(self._pread(0, self._start)) != sums[0]:
            self._refuse("a checksum is wrong")
        self._block_bytes, self.checksum = block_bytes, f"{checksum:08x}"
        return sums[1:]

    def _refuse(self, why: str, error: BaseException | None = None) -> NoReturn:
        raise DamagedFileError(f"{self.path} is damaged ({why}); {AGAIN}") from error


def append_checksums(path: Path) -> None:
    """Write the checksums of a NumPy file behind its data, once it is complete."""
    with path.open("rb+") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
        stream.seek(0)
        header = stream.read(start)
        sums = [zlib.crc32(block) for block in (header, *iter(lambda: stream.read(BLOCK_BYTES), b""))]
        length = stream.tell()
        tail = np.array(sums, "<u4").tobytes() + FOOTER.pack(MAGIC, BLOCK_BYTES, length, 0)[:-4]
        stream.write(tail + struct.pack("<I", zlib.crc32(tail)))


def _read_at(file: int, count: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, count, position)
    os.lseek(file, position, os.SEEK_SET)  # Windows: each process has files of its own
    return os.read(file, count)
