"""What tells one ONNX file of a user from another."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.errors import FormatError
from utils.files import sha256_of_file, sha256_of_json

EXTERNAL_KEY = b"location"  # stands in every file whose weights lie outside


def sha256_of_onnx(path: Path) -> str:
    """Return the SHA-256 of an ONNX file; where its weights lie in files beside it, of all of them together.

    Args:
        path: a file that a runtime has loaded.
    Raises:
        OSError: if one of the files is gone.
        FormatError: if one does not lie beside the ONNX file.
    """
    own = sha256_of_file(path)
    files = _external_files(path) if _mentions(path, EXTERNAL_KEY) else []
    for file in files:
        _require_beside(path, file)
    return sha256_of_json([own, {file: sha256_of_file(path.parent / file) for file in files}]) if files else own


def _require_beside(path: Path, file: str) -> None:
    place = path.parent / file
    if Path(file).is_absolute() or not place.resolve().is_relative_to(path.parent.resolve()):
        raise FormatError(f"{path} names weights outside of its folder; put them beside it and export it again")
    if place.exists() and not place.is_file():
        raise FormatError(f"{path} names {place}, which is no file, as its weights; get it again")


def _mentions(path: Path, word: bytes) -> bool:
    """Say whether a word stands in a file; reading the file as a graph takes more than twice its size in memory."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0


def _external_files(path: Path) -> list[str]:
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except DecodeError:  # a runtime's own format, which keeps everything inside
        return []
    return sorted({ExternalDataInfo(item).location for item in _tensors(model) if uses_external_data(item)})


def _tensors(message: Any) -> Iterator[Any]:
    """Yield the tensors anywhere in a model: of the graph, of the graphs inside it, of attributes and functions."""
    from google.protobuf.message import Message
    from onnx import TensorProto

    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if isinstance(value, Message) else value:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from _tensors(item)
