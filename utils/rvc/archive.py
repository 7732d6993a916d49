"""Reading a .pth of unknown origin: nothing in it is executed, and no more is read than the file holds."""

import pickletools
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from utils.errors import FormatError
from utils.rvc.quoting import shown_name
from utils.rvc.torch_files import CONFUSED, MAX_PICKLE_BYTES, load_plain

MAX_BYTES = 4 * 2**30  # a discriminator with its optimizer, the largest file of the family, has 0.9 GB
MAX_LISTED = 1000  # files of a zip archive that a message looks at
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
INDEX_MARKS = (b"Ix", b"Iw", b"IH", b"IM", b"Ip", b"IN", b"Iv", b"Il")  # FAISS' names of kinds have four letters
VOICE_SUFFIXES = (".pth", ".pt", ".safetensors")


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
        content = load_plain(path, inert=inert)
    except (zipfile.BadZipFile, OSError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds a {type(content).__name__} instead of a dictionary; it is no RVC file")
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
    if head[8:9] == b"{" and b'"' in head[9:40]:
        raise FormatError(f"{path} is a safetensors file under another name; name it .safetensors")
    if head.startswith(INDEX_MARKS):
        raise FormatError(f"{path} is a FAISS index, which holds no voice; give the .pth that it came with")
    if _is_text(head):
        first = head.decode("utf-8", "replace").strip().splitlines()
        raise FormatError(f"{path} is a text file (it begins {(first or [''])[0][:40]!r}); get the file itself")
    raise FormatError(f"{path} is not a file of torch.save (it begins {head[:4].hex()}); get it again")


def _check_members(path: Path, allowed: Collection[str]) -> None:
    """Refuse archives that unpack to more than they are, are packed folders, or name code."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            pickles = [member for member in members if member.filename.endswith("data.pkl")]
            if not pickles:
                raise FormatError(
                    f"{path} is a zip archive but not one of torch.save (no data.pkl inside){_inside(members)}"
                )
            declared = sum(member.file_size for member in members)
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if packed or declared > min(size, MAX_BYTES):
                raise FormatError(
                    f"{path} is a zip bomb or was packed again: {declared / 1e6:.0f} MB declared in a file of "
                    f"{size / 1e6:.1f} MB (at most {MAX_BYTES / 1e6:.0f} MB, and torch.save compresses nothing); "
                    "it was not loaded"
                )
            if len(pickles) > 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise FormatError(f"{path} has a structure of {pickles[0].file_size / 1e6:.0f} MB; it was not loaded")
            _check_names(archive.read(pickles[0]), path, allowed)
    except (zipfile.BadZipFile, *CONFUSED) as error:
        raise _damaged(path, error) from error


def _inside(members: list[zipfile.ZipInfo]) -> str:
    """Say which voices a zip archive holds that somebody packed for passing them on."""
    names = [item.filename for item in members[:MAX_LISTED] if item.filename.lower().endswith(VOICE_SUFFIXES)]
    return f"; it holds {shown_name(names[0])}: unpack it and give that file" if names else ""


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
        raise _damaged(path, error) from error


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n" for byte in head[:-4])


def _damaged(path: Path, error: BaseException) -> FormatError:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "it ends too early")[:200]
    reason = "".join(letter if letter.isprintable() else "?" for letter in line)
    return FormatError(f"{path} is truncated or damaged ({reason}); get it again")
