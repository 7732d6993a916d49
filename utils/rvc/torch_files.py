"""Reading what torch.save wrote, after everything that torch itself does not look at has been checked."""

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.rvc.quoting import quoted, shown_name
from utils.rvc.zip_layout import read_layout

PICKLE = "data.pkl"
MAX_PICKLE_BYTES = 64 * 2**20
MAX_TUPLE_DEPTH, MARK = 16, -1  # torch.save needs three
ITEM_BYTES = {
    "UntypedStorage": 1, "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "HalfStorage": 2,
    "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
# what readers of a pickle raise for one that was made to confuse them
CONFUSED = (
    RuntimeError, EOFError, pickle.UnpicklingError, OSError, MemoryError, ValueError, LookupError, TypeError,
    AttributeError, AssertionError, ArithmeticError, ImportError,
)  # fmt: skip


class Inert:
    """Stands for an object of a class that is not here and not wanted: it keeps nothing and does nothing."""

    def __setstate__(self, state: Any) -> None:
        """Forget what the file says about the object."""


def load_plain(path: Path, *, mmap: bool = False, inert: Collection[str] = ()) -> Any:
    """Return plain data and tensors on the CPU; nothing in the file is executed, and none of it is taken on trust.

    Args:
        path: of a file that torch.save wrote.
        mmap: leave the tensors on disk until they are used; the checksums are not looked at then.
        inert: names such as "fairseq.data.dictionary Dictionary" whose objects are read as Inert, their content lost.
    Raises:
        zipfile.BadZipFile: with a reason of one line, if it is damaged, readers could disagree about it, it wants to
            run code, or a tensor in it is larger than its data.
    """
    members = read_layout(path)
    wanted = _check_structure(path, members, has_checksums=not mmap)
    try:
        with torch.serialization.safe_globals([(Inert, name.replace(" ", ".")) for name in inert]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = f"it wants to use {wanted}, which is no plain data; nothing of it was run" if wanted else _line(error)
        raise zipfile.BadZipFile(reason) from error
    except CONFUSED as error:
        raise zipfile.BadZipFile(_line(error)) from error
    _require_own_data(content)
    return content


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dictionaries, lists and tuples."""
    stack, seen = [value], set[int]()
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)


def check_tuples(data: bytes) -> None:
    """Refuse tuples deep inside each other, which as keys take time that doubles with every level, and absurd places.

    Raises:
        zipfile.BadZipFile: if a pickle has such.
    """
    stack: list[int] = []  # how deep the tuples of each item are; MARK for a mark
    memo: dict[Any, int] = {}
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                place = len(memo) if argument is None else argument
                if not 0 <= place <= len(data):  # a reader makes room for all places below it
                    raise zipfile.BadZipFile("its structure names places that cannot be")
                memo[place] = stack[-1]
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
                raise zipfile.BadZipFile(f"it has tuples {made} deep inside each other, which torch.save never writes")
            stack += [MARK if product.name == "mark" else made for product in code.stack_after]
    except (IndexError, KeyError, ValueError) as error:
        raise zipfile.BadZipFile(_line(error)) from error


def _check_structure(path: Path, members: dict[str, zipfile.ZipInfo], *, has_checksums: bool) -> str:
    """Check checksums, and all that a file says of its tensors; return the first name that is not torch's own."""
    if PICKLE not in members:
        raise zipfile.BadZipFile(f"it is no archive of torch.save, which has {PICKLE}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise zipfile.BadZipFile("it is packed, as torch.save never does")
    if members[PICKLE].file_size > MAX_PICKLE_BYTES:
        raise zipfile.BadZipFile(f"its structure has {members[PICKLE].file_size / 1e6:.0f} MB")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip() if has_checksums else None
            if broken is not None:
                raise zipfile.BadZipFile(f"the checksum of {shown_name(broken)} is wrong")
            data = archive.read(members[PICKLE])
        check_tuples(data)
        structure = _Structure(data, {name: member.file_size for name, member in members.items()})
        structure.load()
    except CONFUSED as error:
        raise zipfile.BadZipFile(_line(error)) from error
    return next(
        (shown_name(name) for name in structure.names if name.split(".")[0] not in ("torch", "collections")), ""
    )


class _StandIn(dict[Any, Any]):
    """Stands for anything that a pickle makes or fills, and does nothing."""

    def __new__(cls, *_: Any) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __setstate__(self, _: Any) -> None:
        """Forget it."""

    def append(self, _: Any) -> None:
        """Forget it."""

    def extend(self, _: Any) -> None:
        """Forget it."""


class _Kind(NamedTuple):
    """A kind of storage."""

    item_bytes: int


class _Storage(NamedTuple):
    """The numbers behind tensors: how many the file holds."""

    length: int


class _Structure(pickle.Unpickler):
    """Reads a pickle with stand-ins for all that it names: nothing is imported, and only these are called.

    Attributes:
        names: what it names.
    """

    def __init__(self, data: bytes, sizes: dict[str, int]) -> None:
        super().__init__(BytesIO(data))
        self.sizes = sizes
        self.names: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in."""
        self.names.append(f"{module}.{name}")
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _check_tensor
        if module.startswith("torch") and name.endswith("Storage"):
            if name not in ITEM_BYTES:
                raise ValueError(f"it holds numbers of the kind {shown_name(name)}")
            return _Kind(ITEM_BYTES[name])
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _StandIn

    def persistent_load(self, saved: Any) -> Any:
        """Check what the pickle says of a storage against what the archive holds."""
        word, kind, key, _, count, *_ = saved
        if word != "storage" or type(kind) is not _Kind or type(key) is not str or type(count) is not int or count < 0:
            raise ValueError("its structure is damaged")
        if self.sizes.get(f"data/{key}") != count * kind.item_bytes:
            raise ValueError(f"it declares another size of data/{quoted(key)} than it holds")
        return _Storage(count)


def _check_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _StandIn:
    whole = [offset, *size, *stride]
    if type(storage) is not _Storage or len(size) != len(stride) or any(type(item) is not int for item in whole):
        raise ValueError("its structure is damaged")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min(whole) < 0 or (0 not in size and last >= storage.length):
        raise ValueError("it declares tensors larger than the data it holds")
    return _StandIn()


def _require_own_data(content: Any) -> None:
    for tensor in tensors_of(content):
        if (
            tensor.layout is not torch.strided
            or tensor.is_quantized
            or tensor.device.type != "cpu"
            or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        ):
            raise zipfile.BadZipFile("it declares tensors larger than the data it holds, or of a foreign kind")


def _line(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "it ends too early")[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
