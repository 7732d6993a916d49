"""Sound files whose headers say what a test wants."""

import struct

import numpy as np


def wav(data: bytes, *, sample_rate: int = 16000, channels: int = 1, bits: int = 16, is_float: bool = False) -> bytes:
    """Return a WAV file."""
    frame = channels * bits // 8
    byte_rate = min(sample_rate * frame, 0xFFFFFFFF)
    header = struct.pack(
        "<IHHIIHH", 16, 3 if is_float else 1, channels, sample_rate, byte_rate, min(frame, 0xFFFF), bits
    )
    body = b"WAVEfmt " + header + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def float_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a WAV file of float32 samples [T], whatever they are."""
    return wav(samples.astype("<f4").tobytes(), sample_rate=sample_rate, bits=32, is_float=True)


def movie_of(reference: str) -> bytes:
    """Return a QuickTime file whose sound lies in another file, named in its data reference."""

    def atom(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", 8 + len(body), kind) + body

    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    mvhd = atom(
        b"mvhd",
        struct.pack(">5IiHH8x", 0, 0, 0, 16000, 16000, 0x10000, 0x100, 0),
        matrix,
        struct.pack(">7I", *[0] * 6, 2),
    )
    tkhd = atom(
        b"tkhd", struct.pack(">IIIIII8xHHHH", 7, 0, 0, 1, 0, 16000, 0, 0, 0x100, 0), matrix, struct.pack(">II", 0, 0)
    )
    # an alias record of Macintosh: volume, name, levels, and as type 2 the path, from its volume on
    name, path = reference.rpartition("/")[2].encode(), f"V{reference}".replace("/", ":").encode()
    alias = b"\0" * 14 + b"\x01" + b"V".ljust(27, b"\0") + b"\0" * 12
    alias += bytes([len(name)]) + name.ljust(63, b"\0") + b"\0" * 16 + struct.pack(">hh", 1, 1) + b"\0" * 16
    alias += struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">hH", -1, 0)
    dref = atom(b"dref", struct.pack(">II", 0, 1), atom(b"alis", alias))  # codespell:ignore alis
    entry = atom(b"sowt", struct.pack(">6xHHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, 16000 << 16))
    tables = [
        atom(b"stsd", struct.pack(">II", 0, 1), entry),
        atom(b"stts", struct.pack(">IIII", 0, 1, 16000, 1)),
        atom(b"stsc", struct.pack(">IIIII", 0, 1, 1, 16000, 1)),
        atom(b"stsz", struct.pack(">III", 0, 2, 16000)),
        atom(b"stco", struct.pack(">III", 0, 1, 44)),
    ]
    minf = atom(b"minf", atom(b"smhd", b"\0" * 8), atom(b"dinf", dref), atom(b"stbl", *tables))
    mdhd = atom(b"mdhd", struct.pack(">5IHH", 0, 0, 0, 16000, 16000, 0, 0))
    hdlr = atom(b"hdlr", b"\0" * 4 + b"mhlrsoun" + b"\0" * 13)
    trak = atom(b"trak", tkhd, atom(b"mdia", mdhd, hdlr, minf))
    return atom(b"ftyp", b"qt  \0\0\0\0qt  ") + atom(b"moov", mvhd, trak)
