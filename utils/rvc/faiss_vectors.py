"""The vectors of an inverted file of FAISS, read without FAISS, which trusts the numbers inside.

The layout is that of IndexIVFFlat as FAISS 1.5 to 1.13 write it; everything is checked against the bytes there are.
"""

import numpy as np

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


def vectors_of_index(data: bytes) -> np.ndarray:
    """Return the vectors [N, D] of an index that faiss.serialize_index wrote.

    Raises:
        ValueError: if it is of another kind, or says what its bytes do not hold.
    """
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
    parts = []
    for size in sizes:
        parts.append(np.frombuffer(source.take(4 * dim * size), dtype="<f4").reshape(-1, dim))
        source.take(8 * size)  # their numbers
    return np.concatenate([np.empty((0, dim), dtype=np.float32), *parts])


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
