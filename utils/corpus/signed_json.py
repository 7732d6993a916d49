"""JSON files that carry their own checksum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.files import read_json, sha256_of_json

KEY = "file_checksum"
UNREADABLE = (OSError, ValueError, RecursionError)  # what read_signed raises


def signed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with its checksum."""
    return {**plain, KEY: sha256_of_json(plain)}


def read_signed(path: Path) -> dict[str, Any]:
    """Read a document and compare its checksum, which those from before there were checksums do not have.

    Raises:
        OSError, ValueError, RecursionError: if it cannot be read, is no object, or its checksum is another.
    """
    plain = read_json(path)
    if not isinstance(plain, dict):
        raise ValueError("it holds no object")
    rest = {key: value for key, value in plain.items() if key != KEY}
    if KEY in plain and plain[KEY] != sha256_of_json(rest):
        raise ValueError("its checksum is wrong")
    return plain
