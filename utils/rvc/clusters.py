"""The retrieval files of So-VITS-SVC, kmeans_<count>.pt and feature_and_index.pkl: pickles, read without running them.

A reader of pickles calls what a pickle names. This one knows the few names that numpy's arrays and FAISS' indexes
have, gives a harmless object of its own for each, and refuses every other name.
"""

import pickle
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import FormatError
from utils.rvc.faiss_vectors import vectors_of_index
from utils.rvc.quoting import quoted, shown_name
from utils.rvc.torch_files import CONFUSED, PICKLE, check_tuples
from utils.rvc.zip_layout import read_layout

MAX_BYTES = 2 * 2**30
FLOATS = ("f2", "f4", "f8")
CENTRES = "cluster_centers_"
ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
INDEX_MODULES = ("faiss.", "swigfaiss")
Clusters = dict[str | int, np.ndarray]


class ForeignNameError(Exception):
    """A name that no such file has."""


def read_clusters(path: Path) -> Clusters:
    """Return the vectors [N, D] of each speaker, by name in a k-means file and by row of the speaker table in an index.

    Raises:
        FormatError: in one line, if the file is missing, damaged, of another kind or wants to run code.
    """
    if not path.is_file():
        raise FormatError(f"{path} is not a file; give kmeans_<count>.pt or feature_and_index.pkl of So-VITS-SVC")
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"{path} has {path.stat().st_size / 1e9:.1f} GB; it is no such file of So-VITS-SVC")
    try:
        data = _pickle_of(path)
        check_tuples(data)
        content = _Reader(data).load()
        if not isinstance(content, dict) or not content:
            raise ValueError("it holds no table of speakers")
        return {_speaker(key): _vectors(value) for key, value in content.items()}
    except ForeignNameError as error:
        raise FormatError(
            f"{path} wants to use {error} while it is read, which is no part of such a file; nothing was run"
        ) from error
    except (zipfile.BadZipFile, *CONFUSED) as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "it ends too early")[:160]
        reason = "".join(letter if letter.isprintable() else "?" for letter in line)
        raise FormatError(f"{path} is damaged or no retrieval file of So-VITS-SVC ({reason})") from error


def _pickle_of(path: Path) -> bytes:
    """Return the pickle: the file itself, or what stands in an archive of torch.save."""
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return path.read_bytes()
    members = read_layout(path)
    if PICKLE not in members or any(item.compress_type != zipfile.ZIP_STORED for item in members.values()):
        raise zipfile.BadZipFile("it is no archive of torch.save")
    with zipfile.ZipFile(path) as archive:
        return archive.read(members[PICKLE])


def _speaker(key: Any) -> str | int:
    if type(key) is int or (type(key) is str and key.isprintable()):
        return key
    raise ValueError(f"it has the speaker {quoted(key)}")


def _vectors(value: Any) -> np.ndarray:
    if isinstance(value, Mapping) and isinstance(value.get(CENTRES), _Array):
        value = value[CENTRES]
    found = getattr(value, "vectors", None)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ValueError("it holds no vectors of a speaker")
    return np.array(found, dtype=np.float32, order="C")


class _Call:
    """Stands for a function; it has no attributes that a pickle could set."""

    __slots__ = ("made",)

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self, *arguments: Any) -> Any:
        return self.made(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise ValueError("its structure is damaged")


class _Array:
    """An array of numpy: its numbers, after all that was said of them has been checked."""

    __slots__ = ("vectors",)

    def __init__(self) -> None:
        self.vectors: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, is_fortran, data = state
        if type(kind) is not _Kind or type(data) is not bytes or not all(type(size) is int for size in shape):
            raise ValueError("its structure is damaged")
        numbers = np.frombuffer(data, dtype=kind.dtype)
        if min(shape, default=0) < 0 or int(np.prod(shape, dtype=object)) != len(numbers):
            raise ValueError("it declares another size of an array than it holds")
        self.vectors = numbers.reshape(shape, order="F" if is_fortran is True else "C")


class _Kind:
    """A kind of numbers."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any) -> None:
        if name not in FLOATS:
            raise ValueError(f"it holds numbers of the kind {quoted(name)}")
        self.dtype = np.dtype(f"<{name}")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", "=", "|"):
            raise ValueError("its numbers have another order of bytes")


class _Index:
    """An index of FAISS: the vectors in the bytes that it wrote of itself."""

    __slots__ = ("vectors",)

    def __init__(self) -> None:
        self.vectors: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        data = state.get("this") if isinstance(state, dict) else None
        if type(data) is not bytes:
            raise ValueError("its structure is damaged")
        self.vectors = vectors_of_index(data)


def _bytes_of(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise ValueError("its structure is damaged")
    return text.encode("latin1")


class _Reader(pickle.Unpickler):
    """Reads a pickle of arrays and indexes alone."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data))

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; raise ForeignNameError for every other one."""
        if module in ARRAY_MODULES and name == "_reconstruct":
            return _Call(lambda *_: _Array())
        if module in ARRAY_MODULES and name == "scalar":
            return _Call(lambda *_: None)
        if (module, name) == ("numpy", "ndarray"):
            return _Call(lambda *_: None)
        if (module, name) == ("numpy", "dtype"):
            return _Call(lambda kind, *_: _Kind(kind))
        if (module, name) == ("_codecs", "encode"):
            return _Call(_bytes_of)
        if module.startswith(INDEX_MODULES) and name == "IndexIVFFlat":
            # a class, as a pickle makes objects of; of this file alone, whatever it does to it
            return type(name, (_Index,), {"__slots__": ()})
        raise ForeignNameError(shown_name(f"{module}.{name}"))

    def persistent_load(self, _: Any) -> Any:
        """Refuse the tensors of torch, which such a file has none of."""
        raise ValueError("it holds tensors where arrays belong")
