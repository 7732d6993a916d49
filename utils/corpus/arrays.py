"""NumPy files that are written in one piece or not at all, in bounded memory."""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import FormatError

RELEASE_BYTES = 16 << 20


class MappedArrays:
    """The memory-mapped arrays of a dataset, read in pieces, in bounded resident memory.

    The kernel counts every page of a mapping that was once read as resident memory of the process, until all of a
    dataset is. So the pages are handed back after every 16 MB; they stay in the page cache, where memory allows.

    Args:
        paths: name -> .npy file that is not empty.
    Raises:
        FormatError: if a file is missing or damaged.
    """

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths
        self._arrays: dict[str, np.memmap] = {}
        for name, path in paths.items():
            try:
                self._arrays[name] = np.load(path, mmap_mode="r")
            except (OSError, ValueError) as error:
                raise FormatError(f"{path} is missing or damaged ({error}); run preprocess.py again") from error
        self._unreleased = 0

    def num_rows(self, name: str) -> int:
        """Return the length of an array's first axis."""
        return len(self._arrays[name])

    def num_bytes(self, name: str) -> int:
        """Return the size of an array."""
        return int(self._arrays[name].nbytes)

    def read(self, name: str, first: int, end: int) -> np.ndarray:
        """Return a copy of rows first..end-1 of an array."""
        rows = np.array(self._arrays[name][first:end])
        self._unreleased += rows.nbytes
        if self._unreleased > RELEASE_BYTES:
            self.release()
        return rows

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return a copy of some rows, given by ascending numbers."""
        parts = [self._arrays[name][part] for part in np.array_split(rows, 1 + len(rows) // 1024)]
        self.release()
        return np.concatenate(parts)

    def release(self) -> None:
        """Hand back the pages of all arrays."""
        self._unreleased = 0
        for array in self._arrays.values():
            if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                array.base.madvise(mmap.MADV_DONTNEED)


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
        """Return the rows, memory-mapped."""
        rows: np.ndarray = np.load(self.path, mmap_mode="r")[self.first : self.first + self.count]
        return rows


def concatenate(path: Path, parts: Sequence[Rows], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Write rows of several files one after the other, durably.

    Args:
        path: the file to make.
        parts: rows whose numbers sum up to shape[0].
        shape: of the result.
        dtype: of the result.
    """
    with new_array(path, shape, dtype, durable=True) as target:
        position = 0
        for part in parts:
            values = part.load() if shape[0] else np.load(part.path)
            target[position : position + len(values)] = values
            position += len(values)
        if position != shape[0]:
            raise ValueError(f"{path.name}: the parts have {position} rows, expected {shape[0]}")


def matches(path: Path, num_rows: int) -> bool:
    """Say whether a cache file is complete and has this many rows."""
    try:
        return bool(len(np.load(path, mmap_mode="r" if num_rows else None)) == num_rows)
    except (OSError, ValueError, EOFError):
        return False
