"""Files of a folder, atomic writes, content hashes."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from utils.errors import ConfigError


def files_below(folder: Path, exclude: Path | None = None) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, folder by folder, each sorted by name.

    Symbolic links to folders are followed, a folder that is reached twice is read once; names that begin with a dot are
    left out.

    Args:
        folder: where to look.
        exclude: absolute path of a folder that is left out.
    """
    seen: set[str] = set()
    for here, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen or (exclude is not None and Path(here).absolute() == exclude):
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that readers see either the old or the complete new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused (ValueError) because JSON has none."""
    atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of dictionary keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode("utf-8")).hexdigest()
