"""Reading a .pth of unknown origin: nothing in it is executed, and no more is read than the file holds."""

import pickle
import pickletools
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import FormatError
from utils.rvc.quoting import quoted, shown_name

MAX_BYTES = 4 * 2**30  # a discriminator with its optimizer, the largest file of the family, has 0.9 GB
MAX_PICKLE_BYTES = 64 * 2**20
MAX_TUPLE_DEPTH, MARK = 16, -1  # torch.save needs three
# What torch.save refers to for tensors and plain data; anything else would be a call of the file's choice.
ALLOWED_NAMES = frozenset(
    {"collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
    | {f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Byte", "Bool")}
)
# Modules whose functions a pickle calls to run a command or to reach one; other names are foreign, not hostile.
HOSTILE_MODULES = frozenset(
    {
        "__builtin__", "_pickle", "asyncio", "builtins", "code", "codeop", "commands", "ctypes", "functools",
        "importlib", "marshal", "multiprocessing", "nt", "operator", "os", "pathlib", "pickle", "platform", "popen2",
        "posix", "pty", "requests", "runpy", "shutil", "signal", "site", "socket", "ssl", "subprocess", "sys",
        "tempfile", "threading", "timeit", "types", "urllib", "webbrowser", "zipimport",
    }
)  # fmt: skip


class Inert:
    """Stands for an object of a class that is not here and not wanted: it keeps nothing and does nothing."""

    def __setstate__(self, state: Any) -> None:
        """Forget what the file says about the object."""


def read_archive(path: Path, *, inert: Collection[str] = ()) -> dict[str, Any]:
    """Read a file made by torch.save as plain data and tensors on the CPU.

    Args:
        path: of the file.
        inert: names such as "fairseq.data.dictionary Dictionary" whose objects are read as Inert, their content lost.
    Returns:
        The dictionary inside; every tensor lies within its own storage.
    Raises:
        FormatError: one line with the reason, if the file is missing, empty, text, truncated, damaged, a zip bomb,
            wants to run code, or holds no dictionary.
    """
    _check_head(path)
    _check_members(path, ALLOWED_NAMES | set(inert))
    try:
        with torch.serialization.safe_globals([(Inert, name.replace(" ", ".")) for name in inert]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, MemoryError, ValueError, KeyError) as error:
        raise FormatError(f"{path} is damaged or not safe to read ({_first_line(error)}); get it again") from error
    except (TypeError, AttributeError, IndexError, AssertionError) as error:  # a pickle made to confuse the reader
        raise FormatError(f"{path} is not what torch.save writes ({_first_line(error)}); it was not loaded") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds a {type(content).__name__} instead of a dictionary; it is no RVC file")
    for tensor in _tensors(content):
        if (
            tensor.layout is not torch.strided
            or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        ):
            raise FormatError(f"{path} declares tensors larger than the data it holds; it was not loaded")
    return content


def _check_head(path: Path) -> None:
    """Refuse what is not a zip archive, by its first bytes."""
    if not path.is_file():
        raise FormatError(f"{path} is not a file; give the path of a .pth file")
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        raise FormatError(f"{path} is empty; get it again")
    if head.startswith(b"PK"):
        return
    if head.startswith(b"\x80"):
        with path.open("rb") as stream:
            _check_names(stream.read(MAX_PICKLE_BYTES), path, ALLOWED_NAMES)
        raise FormatError(
            f"{path} is a bare pickle, as torch wrote before version 1.6; it was not loaded, "
            "save it again with a newer torch.save"
        )
    if _is_text(head):
        first = head.decode("utf-8", "replace").strip().splitlines()
        raise FormatError(f"{path} is a text file (it begins {(first or [''])[0][:40]!r}); get the file itself")
    raise FormatError(f"{path} is not a file of torch.save (it begins {head[:4].hex()}); get it again")


def _check_members(path: Path, allowed: Collection[str]) -> None:
    """Refuse archives that are incomplete, unpack to more than they are, or name code."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            declared = sum(member.file_size for member in members)
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if packed or declared > min(size, MAX_BYTES):
                raise FormatError(
                    f"{path} is a zip bomb or was packed again: {declared / 1e6:.0f} MB declared in a file of "
                    f"{size / 1e6:.1f} MB (at most {MAX_BYTES / 1e6:.0f} MB, and torch.save compresses nothing); "
                    "it was not loaded"
                )
            pickles = [member for member in members if member.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise FormatError(f"{path} is a zip archive but not one of torch.save (no data.pkl inside)")
            damaged = archive.testzip()
            if damaged is not None:
                raise FormatError(f"{path} is damaged: the checksum of {_shown_member(damaged)} is wrong; get it again")
            if pickles[0].file_size > MAX_PICKLE_BYTES:
                raise FormatError(f"{path} has a structure of {pickles[0].file_size / 1e6:.0f} MB; it was not loaded")
            data = archive.read(pickles[0])
            _check_names(data, path, allowed)
            _check_tuples(data, path)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path} is truncated or damaged ({_first_line(error)}); get it again") from error


def _check_names(data: bytes, path: Path, allowed: Collection[str]) -> None:
    """Refuse a pickle that names anything but tensors and plain containers."""
    texts: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(data):
            name = None
            if code.name in ("GLOBAL", "INST"):
                name = str(argument)
            elif code.name == "STACK_GLOBAL":
                name = " ".join(texts[-2:])
            elif isinstance(argument, str):
                texts.append(argument)
            if name is not None and name not in allowed:
                is_hostile = name.split(".")[0].split(" ")[0] in HOSTILE_MODULES
                why = "as a malicious pickle does" if is_hostile else "which is not plain data"
                raise FormatError(
                    f"{path} wants to use {shown_name(name.replace(' ', '.'))} while it is read, {why}; "
                    "it was not loaded and nothing was run"
                )
    except ValueError as error:
        raise FormatError(f"{path} is truncated or damaged ({_first_line(error)}); get it again") from error


def _check_tuples(data: bytes, path: Path) -> None:
    """Refuse tuples deep inside each other: as keys, shared ones take time that doubles with every level."""
    stack: list[int] = []  # how deep the tuples of each item are; MARK for a mark
    memo: dict[Any, int] = {}
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if argument is None else argument] = stack[-1]
                continue
            if code.name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
                continue
            taken = []
            needed = [item.name for item in code.stack_before]
            if "mark" in needed:
                while (item := stack.pop()) != MARK:
                    taken.append(item)
            taken += [stack.pop() for name in needed if name not in ("mark", "stackslice")]
            made = 1 + max(taken, default=0) if "TUPLE" in code.name else max(taken, default=0) * (code.name == "DUP")
            if made > MAX_TUPLE_DEPTH:
                raise FormatError(f"{path} has tuples {made} deep inside each other, as torch.save never writes them")
            stack += [MARK if product.name == "mark" else made for product in code.stack_after]
    except (IndexError, KeyError, ValueError) as error:
        raise FormatError(f"{path} is truncated or damaged ({_first_line(error)}); get it again") from error


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dictionaries, lists and tuples."""
    stack, seen = [value], set[int]()
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n" for byte in head[:-4])


def _shown_member(name: str) -> str:
    return name if name.isprintable() and len(name) < 100 else quoted(name)


def _first_line(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "it ends too early")[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
