"""What an index of FAISS holds, read without FAISS, which trusts the numbers inside.

The layouts are those that FAISS 1.5 to 1.13 write; everything is checked against the bytes there are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.errors import FormatError
from utils.files import read_file

FILE_KINDS = {  # by the first bytes of a file
    b"IwFl": "IndexIVFFlat", b"IxF2": "IndexFlatL2", b"IxFI": "IndexFlatIP", b"IxFl": "IndexFlat",
    b"IwPQ": "IndexIVFPQ", b"IHNf": "IndexHNSWFlat",
}  # fmt: skip
VECTORS = ("IndexIVFFlat", "IndexFlatL2", "IndexFlatIP", "IndexFlat")  # whose vectors are read
METRICS = (0, 1)  # inner product, Euclidean
MAX_DIM, MAX_LISTS = 2**16, 2**24


class _Bytes:
    """Takes what comes next, or says that it is not there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.position:
            raise ValueError("its index ends too early")
        self.position += count
        return self.data[self.position - count : self.position]

    def whole(self, size: int = 8) -> int:
        return int.from_bytes(self.take(size), "little")

    def expect(self, *words: bytes) -> bytes:
        found = self.take(4)
        if found not in words:
            raise ValueError("its index is of a kind that is not read")
        return found


class IndexFile(NamedTuple):
    """An index that somebody made.

    Attributes:
        kind: FAISS' name of it.
        dim: D, size of a vector.
        num_vectors: N, as it says.
        vectors: [N, D] in the order of their numbers; None of kinds that are not read further, see VECTORS.
    """

    kind: str
    dim: int
    num_vectors: int
    vectors: np.ndarray | None


def read_index_file(path: Path) -> IndexFile:
    """Read a file that faiss.write_index wrote.

    Raises:
        FormatError: in one line, if it is missing, of another kind, or says what its bytes do not hold.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror}); give the file of an index") from error
    if data[:4] not in FILE_KINDS:
        raise FormatError(f"{path} is no FAISS index of a kind that is read here ({', '.join(VECTORS)})")
    kind, dim, count = FILE_KINDS[data[:4]], 0, 0
    try:
        source = _Bytes(data)
        source.take(4)
        dim, count = _header(source)
        if kind == "IndexIVFFlat":
            vectors, numbers = _lists(data)
            return IndexFile(kind, dim, count, vectors[np.argsort(numbers, kind="stable")])
        if kind in VECTORS:
            if source.whole() != dim * count:
                raise ValueError("its index contradicts itself")
            vectors = np.frombuffer(source.take(4 * dim * count), dtype="<f4").reshape(-1, dim).copy()
            return IndexFile(kind, dim, count, vectors)
    except ValueError as error:
        raise FormatError(f"{path} is damaged or made up ({error}); get the file again") from error
    return IndexFile(kind, dim, count, None)


def vectors_of_index(data: bytes) -> np.ndarray:
    """Return the vectors [N, D] of an index that faiss.serialize_index wrote.

    Raises:
        ValueError: if it is of another kind, or says what its bytes do not hold.
    """
    return _lists(data)[0]


def _lists(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors [N, D] of an inverted file as they lie there, and their numbers [N]."""
    source = _Bytes(data)
    source.expect(b"IwFl")
    dim, count = _header(source)
    lists = source.whole()
    source.take(8)  # lists that a search visits
    _skip_quantizer(source, dim)
    if source.take(1) != b"\0":
        raise ValueError("its index is of a kind that is not read")
    source.take(8 * source.whole())
    source.expect(b"ilar")
    if (source.whole(), source.whole()) != (lists, 4 * dim) or lists > MAX_LISTS:
        raise ValueError("its index contradicts itself")
    sizes = _list_sizes(source, lists)
    if sum(sizes) != count:
        raise ValueError("its index contradicts itself")
    parts, numbers = [np.empty((0, dim), np.float32)], [np.empty(0, np.int64)]
    for size in sizes:
        parts.append(np.frombuffer(source.take(4 * dim * size), dtype="<f4").reshape(-1, dim))
        numbers.append(np.frombuffer(source.take(8 * size), dtype="<i8"))
    return np.concatenate(parts), np.concatenate(numbers)


def _header(source: _Bytes) -> tuple[int, int]:
    """Return size and number of the vectors."""
    dim, count = source.whole(4), source.whole()
    source.take(17)  # two unused numbers, and whether it was trained
    if source.whole(4) not in METRICS or not 0 < dim <= MAX_DIM:
        raise ValueError("its index is of a kind that is not read")
    return dim, count


def _skip_quantizer(source: _Bytes, dim: int) -> None:
    source.expect(b"IxF2", b"IxFI", b"IxFl")
    if _header(source)[0] != dim:
        raise ValueError("its index contradicts itself")
    source.take(4 * source.whole())


def _list_sizes(source: _Bytes, lists: int) -> list[int]:
    """Return how many vectors each list has; lists that are mostly empty are written as pairs."""
    kind = source.expect(b"full", b"sprs")
    count = source.whole()
    values = np.frombuffer(source.take(8 * count), dtype="<u8")
    if kind == b"full":
        if count != lists:
            raise ValueError("its index contradicts itself")
        return [int(size) for size in values]
    # in the order of the lists, as the vectors follow
    numbers = values[0::2].tolist()
    if count % 2 or numbers != sorted(set(numbers)) or (numbers and numbers[-1] >= lists):
        raise ValueError("its index contradicts itself")
    return [int(size) for size in values[1::2]]
