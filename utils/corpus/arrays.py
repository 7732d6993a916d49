"""NumPy files that are written in one piece or not at all, in bounded memory."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def new_array(
    path: Path, shape: tuple[int, ...], dtype: type[np.generic], *, durable: bool = False
) -> Iterator[np.ndarray]:
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
            empty = np.zeros(shape, dtype)
            yield empty
            with temporary.open("wb") as stream:
                np.save(stream, empty)
        else:
            array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
            yield array
            array.flush()
            del array
        if durable:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array to a cache file."""
    with new_array(path, array.shape, array.dtype.type) as target:
        target[...] = array


def concatenate(path: Path, parts: Sequence[Path], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Write the arrays of several files one after the other, durably.

    Args:
        path: the file to make.
        parts: .npy files whose first axes sum up to shape[0].
        shape: of the result.
        dtype: of the result.
    """
    with new_array(path, shape, dtype, durable=True) as target:
        position = 0
        for part in parts:
            values = np.load(part, mmap_mode="r") if shape[0] else np.load(part)
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
