"""NumPy files with checksums that are written in one piece or not at all, in bounded memory."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.corpus.stored_array import DamagedFileError, StoredArray, append_checksums

COPY_BYTES = 16 << 20


class DatasetArrays:
    """The arrays of a dataset, read in pieces that are verified before they are used.

    Args:
        paths: name -> .npy file that is not empty.
        checksums: name -> what the file's checksum must be; files of names without one are taken as they are.
    Raises:
        DamagedFileError: if a file is missing or damaged.
    """

    def __init__(self, paths: Mapping[str, Path], checksums: Mapping[str, str]) -> None:
        self.paths = paths
        self._arrays = {name: StoredArray(path, checksums.get(name)) for name, path in paths.items()}

    def __getitem__(self, name: str) -> StoredArray:
        """Return one of the arrays."""
        return self._arrays[name]

    def num_rows(self, name: str) -> int:
        """Return the length of an array's first axis."""
        return len(self._arrays[name])

    def num_bytes(self, name: str) -> int:
        """Return the size of an array."""
        return self._arrays[name].nbytes

    def read(self, name: str, first: int, end: int) -> np.ndarray:
        """Return rows first..end-1 of an array."""
        return self._arrays[name].read(first, end)

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return some rows, given by ascending numbers."""
        return self._arrays[name].gather(rows)

    def verify(self, limit: int) -> None:
        """Look at all files where together they have at most `limit` bytes: larger ones take too long at a start.

        Raises:
            DamagedFileError: if one is damaged.
        """
        if sum(array.nbytes for array in self._arrays.values()) <= limit:
            for array in self._arrays.values():
                array.verify()


class NewArray:
    """An array on disk that can be filled and not be kept: Windows renames no file that is still mapped."""

    def __init__(self, array: np.ndarray) -> None:
        self._array: np.ndarray | None = array

    def __setitem__(self, rows: Any, values: np.ndarray | float) -> None:
        assert self._array is not None, "the file has its name already"
        self._array[rows] = values

    def close(self) -> None:
        """Close the file."""
        if isinstance(self._array, np.memmap):
            self._array.flush()
        self._array = None


@contextmanager
def new_array(
    path: Path, shape: tuple[int, ...], dtype: type[np.generic], *, durable: bool = False
) -> Iterator[NewArray]:
    """Give a memory-mapped array to fill; it appears under its name only when the block ends without an error.

    Args:
        path: the .npy file; its folder is made when missing.
        shape: of the array; the first axis may be 0.
        dtype: of the array.
        durable: wait until the disk has it. Caches need not: their readers check them (see matches).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    temporary = Path(name)
    os.close(handle)
    try:
        if 0 in shape:  # an empty array cannot be mapped
            yield NewArray(np.zeros(shape, dtype))
            with temporary.open("wb") as stream:
                np.save(stream, np.zeros(shape, dtype))
        else:
            array = NewArray(np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape))
            _take_room(temporary, path)
            yield array
            array.close()
        append_checksums(temporary)
        if durable:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _take_room(temporary: Path, path: Path) -> None:
    """Reserve a file's space on the disk: where it is full, writing to the map would end the process by SIGBUS.

    File systems that cannot reserve are left alone.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with temporary.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise OSError(error.errno, error.strerror, str(path)) from error


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array to a cache file."""
    with new_array(path, array.shape, array.dtype.type) as target:
        target[...] = array


@dataclass(frozen=True)
class Rows:
    """A part of an array file that is not empty.

    Attributes:
        path: the .npy file.
        first: its first row.
        count: rows.
    """

    path: Path
    first: int
    count: int

    def load(self) -> np.ndarray:
        """Return the rows."""
        return self.part(0, self.count)

    def part(self, first: int, end: int) -> np.ndarray:
        """Return some of the rows, counted from the first one of them."""
        return StoredArray(self.path).read(self.first + first, self.first + min(end, self.count))

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the rows in pieces of bounded size."""
        array = StoredArray(self.path)
        step = max(1, COPY_BYTES * len(array) // max(1, array.nbytes))
        end = self.first + self.count
        for first in range(self.first, end, step):
            yield array.read(first, min(first + step, end))


def concatenate(path: Path, parts: Sequence[Rows], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Write rows of several files one after the other, durably.

    Args:
        path: the file to make.
        parts: rows whose numbers sum up to shape[0].
        shape: of the result.
        dtype: of the result.
    Raises:
        DamagedFileError: if a part is not what was written.
    """
    with new_array(path, shape, dtype, durable=True) as target:
        position = 0
        for part in parts:
            for values in part.pieces():
                target[position : position + len(values)] = values
                position += len(values)
        if position != shape[0]:
            raise ValueError(f"{path.name}: the parts have {position} rows, expected {shape[0]}")


def matches(path: Path, num_rows: int) -> bool:
    """Say whether a cache file is complete, undamaged and has this many rows."""
    try:
        array = StoredArray(path)
        array.verify()
        return len(array) == num_rows
    except DamagedFileError:
        return False


def known_checksum(path: Path, num_rows: int) -> str | None:
    """Return the checksum of an undamaged file with this many rows; None where there is none or it has no checksums."""
    return StoredArray(path).checksum if matches(path, num_rows) else None
