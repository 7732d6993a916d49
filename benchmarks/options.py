"""Values of the benchmarks' command lines, refused before any work: types for argparse."""

import argparse
import math
from pathlib import Path

from utils.errors import ConfigError
from utils.files import check_new_file


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is out of range; allowed: at least 1")
    return value


def duration(text: str) -> float:
    """Read a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; allowed: above 0")
    return value


def new_file(text: str) -> Path:
    """Read the name of a file that can be written."""
    path = Path(text)
    try:
        check_new_file(path, "file")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
