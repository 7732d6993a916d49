"""Files of a folder, atomic writes, content hashes."""

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import IO, Any

from utils.errors import ConfigError, DataError

UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # the names that atomic_write gives


def files_below(folder: Path, exclude: Path | None = None) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, folder by folder, each sorted by name.

    Symbolic links to folders are followed, but for one to a folder that this one lies in; a folder that is reached
    twice is read once; names that begin with a dot are left out.

    Args:
        folder: where to look.
        exclude: absolute path of a folder that is left out.
    Raises:
        DataError: if one of them cannot be read; a folder that is not there has no files.
    """
    seen: set[str] = set()
    root = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118  ends with a separator

    def refuse(error: OSError) -> None:
        place = Path(os.fsdecode(error.filename or folder))
        if not (place == folder and isinstance(error, FileNotFoundError | NotADirectoryError)):
            raise DataError(
                f"folder {place} cannot be read ({error.strerror}), so its files would be missing; make it readable, "
                "or move it elsewhere"
            ) from error

    for here, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        is_above = root != os.path.join(real, "") and root.startswith(os.path.join(real, ""))  # noqa: PTH118
        if real in seen or is_above or (exclude is not None and Path(here).absolute() == exclude):
            subfolders.clear()
            continue
        seen.add(real)
        kept = sorted(name for name in subfolders if not name.startswith("."))
        subfolders[:] = [name for name in kept if exclude is None or Path(here, name).absolute() != exclude]
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def write_to(stream: IO[bytes], write: Callable[[Any], object]) -> None:
    """Let a library write to a stream and raise what the system says about it.

    torch.save turns a full disk into a RuntimeError about positions in its archive; so it only meets a stream that
    keeps the first error and takes the rest as if it were written.

    Args:
        stream: binary.
        write: gets what has `write` and `flush` of the stream.
    Raises:
        OSError: the first that the stream met.
    """
    patient = _PatientStream(stream)
    write(patient)
    if patient.error is not None:
        raise patient.error


class _PatientStream:
    """Keeps the first error of a stream, and writes nothing more from then on."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data; returns its size."""
        self._try(lambda: self._stream.write(data))
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Hand to the system what is buffered."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error


def atomic_write(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file so that readers see either the old or the complete new content, never a part.

    Args:
        path: the file.
        write: gets a binary stream and writes to it, see write_to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            write_to(stream, write)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the stream does not know it, the user wants to
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed in atomic_write have left below a folder; nobody else may write there."""
    for path in folder.rglob(".*.tmp"):
        if UNFINISHED.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    atomic_write(path, lambda stream: stream.write(data))


def sync_to_disk(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder where the system can wait for those.

    Raises:
        OSError: if the file could not be written; network file systems tell so only now.
    """
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows syncs what may be written
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():  # Windows opens no folders, some file systems do not sync them
            raise


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused (ValueError) because JSON has none."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        atomic_write_text(path, text)
    except UnicodeEncodeError:  # a name of a file with bytes that are no UTF-8; as escapes they are read back
        atomic_write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def check_new_folder(path: Path, key: str) -> None:
    """Check that files can be written into a folder, which is made later where there is none.

    Args:
        path: the folder.
        key: setting that chose it, for the message.
    Raises:
        ConfigError: if it or a folder above it is a file, or the nearest folder that exists may not be written to.
    """
    nearest = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise ConfigError(f"{key}: {path} cannot be a folder, since {nearest} is a file; choose another {key}=")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: nothing may be written to {nearest}; choose another {key}=")


def check_new_file(path: Path, key: str, inputs: Iterable[Path] = ()) -> None:
    """Check that a file can be written, before the work whose result it is.

    Args:
        path: the file, new or to be replaced.
        key: setting that chose it, for the message.
        inputs: files that must be left as they are.
    Raises:
        ConfigError: if it is a folder or one of the inputs, or its folder cannot be written to.
    """
    if path.is_dir():
        raise ConfigError(f"{key}={path} is a folder; give the name of a file")
    for item in inputs:
        if path.resolve() == item.resolve() or (path.exists() and item.exists() and path.samefile(item)):
            raise ConfigError(f"{key}={path} would replace {item}, which is read; choose another {key}=")
    check_new_folder(path.parent, key)


def is_below(name: str) -> bool:
    """Whether the name of a file that another file states leads to no place but below the folder it is joined to."""
    path = PureWindowsPath(name)  # which takes both kinds of separators
    return bool(path.parts) and not path.drive and not path.root and ".." not in path.parts and "\0" not in name


def open_descriptor(path: Path) -> int:
    """Open a file for reading that somebody else may have made; returns its descriptor.

    A pipe under the name of a file would let its reader wait for ever, a device may never end.

    Raises:
        OSError: if it is absent, cannot be read, or is no file.
    """
    # without waiting: a pipe opens when somebody writes to it
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no file but a folder, a pipe or a device", str(path))
    return handle


def read_file(path: Path) -> bytes:
    """Return the content of a file; see open_descriptor for what it raises."""
    with os.fdopen(open_descriptor(path), "rb") as stream:
        return stream.read()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that somebody else may have made.

    Raises:
        OSError: see open_descriptor.
        ValueError: if it is no JSON in UTF-8, or has more levels than can be followed.
    """
    try:
        return json.loads(read_file(path).decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in bounded memory; see open_descriptor for what it raises."""
    digest = hashlib.sha256()
    with os.fdopen(open_descriptor(path), "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of dictionary keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode("utf-8")).hexdigest()
