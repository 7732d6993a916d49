"""Names of voices and of the files that hold them."""

import re
from pathlib import Path

from utils.errors import ConfigError, FormatError
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE, FileGeometry

MAX_NAME_LENGTH = 64
LARGEST_WINDOW = 1 << 20
_FILE_NAME = re.compile(r"(?P<name>.+)_sr(?P<rate>\d+)_hop(?P<hop>\d+)_nfft(?P<n_fft>\d+)(?P<stream>_stream)?\.onnx")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of Windows
_RESERVED_TOKEN = re.compile(r"(sr|hop|nfft)(?P<rest>.+)")


def check_voice_name(name: str) -> str:
    """Return the name when it can stand before `_sr..` in a file name.

    Raises:
        ConfigError: if it is empty, too long, has other characters than letters, digits, space, dot, dash, underscore
            and round brackets, is a device of Windows, or holds a token such as sr2, hop3 or nfft9, which runtimes
            would read as a number of the graph.
    """
    is_plain = re.fullmatch(r"\w(?:[\w .\-()]*[\w)])?", name) and not _DEVICE.fullmatch(name)
    if not is_plain or len(name) > MAX_NAME_LENGTH:
        raise ConfigError(
            f"name={name!r} cannot be used in a file name: use 1 to {MAX_NAME_LENGTH} letters, digits, spaces, dots, "
            "dashes, underscores or round brackets, with a letter or digit at the start, and no device of Windows"
        )
    for token in name.split("_"):
        match = _RESERVED_TOKEN.fullmatch(token)
        if match and _is_number(match["rest"]):
            raise ConfigError(
                f"name={name!r} contains {token!r}, which runtimes would read as a rate or size of the graph; "
                "choose another name"
            )
    return name


def parse_file_name(path: Path) -> FileGeometry:
    """Read the numbers back from the name of an exported graph.

    Raises:
        FormatError: if the file is not named `<name>_sr{rate}_hop{hop}_nfft{n_fft}.onnx`, or its numbers cannot be.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise FormatError(f"{path.name} is not named <name>_sr<rate>_hop<hop>_nfft<n_fft>.onnx")
    ranges = {"rate": (LOWEST_RATE, HIGHEST_RATE), "hop": (1, LARGEST_WINDOW), "n_fft": (1, LARGEST_WINDOW)}
    for key, (low, high) in ranges.items():
        if not low <= int(match[key]) <= high:
            token = {"rate": "sr", "hop": "hop", "n_fft": "nfft"}[key]
            raise FormatError(
                f"{path.name} says {token}{match[key]}; allowed: {low} to {high}; name it as it was exported"
            )
    return FileGeometry(
        name=match["name"],
        sample_rate=int(match["rate"]),
        hop_length=int(match["hop"]),
        n_fft=int(match["n_fft"]),
        is_stream=match["stream"] is not None,
    )


def is_stream_file(path: Path) -> bool:
    """Whether a file has the name of a streaming graph."""
    match = _FILE_NAME.fullmatch(path.name)
    return match is not None and match["stream"] is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
