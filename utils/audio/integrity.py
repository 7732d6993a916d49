"""Find damage that decoders pass over in silence: broken pages of Ogg files, parts that reach beyond the end."""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from utils.audio.file_bytes import FileBytes
from utils.audio.mpeg_frames import check_mpeg, is_mpeg_audio, states_length

PAGE_HEAD = 27  # bytes of an Ogg page before its table of segments, RFC 3533
LAST_PAGE = 4  # flag
MPEG_SUFFIXES = {".mp3", ".mp2", ".mpga"}
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
W64_HEAD = bytes.fromhex("726966662e91cf11a5d628db04c10000")  # the identifier of RIFF in Sony Wave64

FLAC_HEAD = b"fLaC" + bytes((0, 0, 0, 34))  # and the head of its first block, STREAMINFO: RFC 9639, section 8.1
ANOTHER = "cut short: another recording follows behind the end that the first one states; only the first is read"


def damage_of(path: Path) -> str | None:
    """Return what is wrong with the container of a sound file; None for a whole one and for other kinds."""
    if path.stat().st_size < PAGE_HEAD:
        return None
    with path.open("rb") as stream:
        data = FileBytes(stream)
        is_named_so = path.suffix.lower() in MPEG_SUFFIXES
        for head, check in CHECKS.items():
            if data[: len(head)] == head and not (is_named_so and check in JOINED):  # decoders go by the name there
                return check(data)
        return check_mpeg(data) if is_named_so or is_mpeg_audio(data) else None


def lacks_length(path: Path) -> bool:
    """Whether a file is MPEG audio that does not state its length, or not the true one.

    libsndfile believes what is stated, or guesses from the bit rate of the beginning, and reads no further.
    """
    try:
        with path.open("rb") as stream:
            data = FileBytes(stream)
            is_named_so = path.suffix.lower() in MPEG_SUFFIXES
            return (is_named_so or is_mpeg_audio(data)) and not states_length(data)
    except OSError:  # the decoder says so
        return False


class _Page(NamedTuple):
    """Number of a page in its stream, the stream, and whether it is the stream's last."""

    stream: int
    number: int
    is_last: bool


def _check_ogg(data: FileBytes) -> str | None:
    num_pages = num_broken = 0
    expected: dict[int, int] = {}
    ended: set[int] = set()
    is_behind_broken = False
    for page in _ogg_pages(data):
        num_pages += 1
        if page is None:
            num_broken, is_behind_broken = num_broken + 1, True
            continue
        if page.number != expected.get(page.stream, page.number) and not is_behind_broken:
            num_broken += 1  # some before it are missing
        is_behind_broken = False
        expected[page.stream] = page.number + 1
        if page.is_last:
            ended.add(page.stream)
    if num_broken:
        return f"damaged: {num_broken} of {num_pages} pages are broken, or others before them are missing"
    return None if ended >= set(expected) else "cut short: the last page is missing"


def _ogg_pages(data: FileBytes) -> Iterator[_Page | None]:
    """Yield the pages, None for what is none."""
    position = 0
    while 0 <= position < len(data):
        head = data[position : position + PAGE_HEAD]
        size = 0
        if len(head) == PAGE_HEAD and head[:4] == b"OggS":
            table = data[position + PAGE_HEAD : position + PAGE_HEAD + head[26]]
            size = PAGE_HEAD + len(table) + sum(table)
            page = data[position : position + size]
            stream, number, checksum = struct.unpack_from("<III", head, 14)
            if len(page) == size and ogg_checksum(page[:22] + bytes(4) + page[26:]) == checksum:
                yield _Page(stream, number, bool(head[5] & LAST_PAGE))
                position += size
                continue
        yield None
        position = data.find(b"OggS", position + 1)


def ogg_checksum(data: bytes) -> int:
    """Return the CRC of RFC 3533: polynomial 04c11db7 from the highest bit on, that of zlib from the lowest on."""
    mirrored = zlib.crc32(data.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _check_caf(data: FileBytes) -> str | None:
    position = 8
    while position + 12 <= len(data):
        kind, size = struct.unpack(">4sq", data[position : position + 12])
        if kind == b"data" and size == -1:  # of unknown length: the last one
            return None
        if size < 0:
            return f"damaged: a part has the length {size}"
        position += 12 + size
    return _cut(position, len(data))


def _check_w64(data: FileBytes) -> str | None:
    position = 40
    while position + 24 <= len(data):
        (size,) = struct.unpack("<Q", data[position + 16 : position + 24])
        if size < 24:
            return f"damaged: a part has the length {size}"
        if position + size > len(data):
            return _cut(position + size, len(data))
        position += -(-size // 8) * 8
    return None


def _check_riff(data: FileBytes) -> str | None:
    return _another_after(data, 8 + int.from_bytes(data[4:8], "little"))


def _check_aiff(data: FileBytes) -> str | None:
    return _another_after(data, 8 + int.from_bytes(data[4:8], "big"))


def _check_flac(data: FileBytes) -> str | None:
    return ANOTHER if data.find(FLAC_HEAD, len(FLAC_HEAD)) >= 0 else None


def _another_after(data: FileBytes, end: int) -> str | None:
    """Return what is wrong when another recording of this kind follows: files were put one behind another."""
    end += end % 2
    return ANOTHER if data[end : end + 4] == data[:4] else None


def _cut(end: int, size: int) -> str | None:
    return f"cut short: {size} of {end} bytes are there" if end > size else None


CHECKS: dict[bytes, Callable[[FileBytes], str | None]] = {
    b"OggS": _check_ogg,
    b"caff": _check_caf,
    W64_HEAD: _check_w64,
    b"RIFF": _check_riff,
    b"FORM": _check_aiff,
    b"fLaC": _check_flac,
}
JOINED = (_check_riff, _check_aiff, _check_flac)
