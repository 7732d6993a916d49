"""Whether a zip archive says the same to everybody who reads it: torch's reader believes its directory alone.

Of an entry that its directory calls a folder torch reads nothing, names that differ by their case are one to it, and
it ignores checksums, local headers and what stands between them. Only archives are taken in which none of that
matters. The layout: APPNOTE.TXT of PKWARE, version 6.3.10, 4.3.
"""

import struct
import zipfile
from pathlib import Path
from typing import IO

END, END64_LOCATOR, END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
LOCAL = struct.Struct("<4s5H3L2H")
END_MARK, LOCATOR_MARK, END64_MARK, LOCAL_MARK = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06", b"PK\x03\x04"
SAYS_END64 = (0xFFFF, 0xFFFFFFFF)  # in a field of the end: the value stands in the larger record
FOLDER_BIT, ENCRYPTED_BITS = 0x10, 0x2041
MAX_MEMBERS = 1_000_000
MAX_NAME = 200


def read_layout(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Check an archive's structure, not its data, and return its members by their names without the common folder.

    Raises:
        zipfile.BadZipFile: with a reason, if readers could disagree about it, or it is none of torch.save.
    """
    try:
        with path.open("rb") as stream:
            directory = _directory(stream, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _require_places(archive, members, directory)
        with path.open("rb") as stream:
            _require_local_headers(stream, members, directory.start)
    except (EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, LookupError, struct.error) as error:
        raise zipfile.BadZipFile(f"its zip directory is damaged: {error}") from error
    return _named(members)


class _Directory:
    """Where the directory of an archive lies, by its end record."""

    def __init__(self, start: int, size: int, count: int) -> None:
        self.start, self.size, self.count = start, size, count


def _directory(stream: IO[bytes], length: int) -> _Directory:
    """Find the directory by the last bytes of the file: nothing may follow the end record."""
    if length < END.size:
        raise zipfile.BadZipFile("it ends too early")
    stream.seek(length - END.size)
    mark, disk, first_disk, here, count, size, start, comment = END.unpack(stream.read(END.size))
    if mark != END_MARK or comment:
        raise zipfile.BadZipFile("it is no zip archive, is cut, or something follows its end")
    found = _Directory(start, size, count)
    end = length - END.size
    if end >= END64_LOCATOR.size:
        stream.seek(end - END64_LOCATOR.size)
        locator, _, place, disks = END64_LOCATOR.unpack(stream.read(END64_LOCATOR.size))
        if locator == LOCATOR_MARK:
            end -= END64_LOCATOR.size + END64.size
            if end < 0 or place != end or disks > 1:
                raise zipfile.BadZipFile("its zip directory is not where it says")
            stream.seek(end)
            values = END64.unpack(stream.read(END64.size))
            if values[0] != END64_MARK or values[4] or values[5] or values[6] != values[7]:
                raise zipfile.BadZipFile("its zip directory is not where it says")
            found = _Directory(values[9], values[8], values[7])
            said = zip((start, size, here, count), (found.start, found.size, found.count, found.count), strict=True)
            if any(short not in (*SAYS_END64, full) for short, full in said):
                raise zipfile.BadZipFile("its zip directory contradicts itself")
            disk, first_disk = (0 if number == SAYS_END64[0] else number for number in (disk, first_disk))
            here = count
    if disk or first_disk or here != count or found.start + found.size != end or found.count > MAX_MEMBERS:
        raise zipfile.BadZipFile("its zip directory is not where it says")
    return found


def _require_places(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], directory: _Directory) -> None:
    if len(members) != directory.count or archive.start_dir != directory.start or archive.comment:
        raise zipfile.BadZipFile("its zip directory contradicts itself")
    for member in members:
        if member.external_attr & FOLDER_BIT or member.is_dir() or member.flag_bits & ENCRYPTED_BITS or member.volume:
            raise zipfile.BadZipFile("its zip directory calls a file a folder, encrypted or elsewhere")
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            raise zipfile.BadZipFile("its zip directory contradicts itself about a size")


def _require_local_headers(stream: IO[bytes], members: list[zipfile.ZipInfo], end: int) -> None:
    """Check that each file begins where and under the name that the directory says, one behind the other."""
    position = 0
    for member in sorted(members, key=lambda item: item.header_offset):
        if member.header_offset < position or (position == 0 and member.header_offset != 0):
            raise zipfile.BadZipFile("its files overlap, or something stands before them")
        stream.seek(member.header_offset)
        values = LOCAL.unpack(stream.read(LOCAL.size))
        name = stream.read(values[9])
        position = member.header_offset + LOCAL.size + values[9] + values[10] + member.compress_size
        is_same = values[0] == LOCAL_MARK and name == member.orig_filename.encode("ascii")
        if not is_same or values[3] != member.compress_type or position > end:
            raise zipfile.BadZipFile("a file in it has another name, kind or size than its zip directory says")


def _named(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return members by the rest of their names behind the folder that all have in common."""
    names = [member.orig_filename for member in members]
    if any(not name.isascii() or not name.isprintable() or "\\" in name or len(name) > MAX_NAME for name in names):
        raise zipfile.BadZipFile("a name in its zip directory is damaged")
    if len({name.lower() for name in names}) != len(names):
        raise zipfile.BadZipFile("a name stands twice in its zip directory")
    if len({name.partition("/")[0] for name in names}) > 1 or not all("/" in name for name in names):
        raise zipfile.BadZipFile("its files do not lie in one folder, as those of torch.save do")
    return {name.partition("/")[2]: member for name, member in zip(names, members, strict=True)}
