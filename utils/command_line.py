"""What all command lines have in common that are no Hydra scripts: values of options, and errors as one line."""

import argparse
import logging
import math
from collections.abc import Callable
from pathlib import Path

from utils.console import VisibleFormatter, protect_console, tell_error
from utils.errors import ConfigError, WorkbenchError, one_line_for_files
from utils.files import check_new_file


def run_program(name: str, work: Callable[[], int | None]) -> int:
    """Run the work of a program and return the exit code.

    Args:
        name: stands before each line of the log.
        work: returns the exit code, None for 0; a WorkbenchError becomes one line on standard error and its code.
    """
    protect_console()
    handler = logging.StreamHandler()
    handler.setFormatter(VisibleFormatter(f"{name}: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        with one_line_for_files():
            return work() or 0
    except WorkbenchError as error:
        tell_error("error", error.lines)
        return error.exit_code


def first_line(text: str | None) -> str:
    """Return the first line of a module's docstring, which describes its program."""
    return (text or "").partition("\n")[0]


def whole_number(text: str) -> int:
    """Read a whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is out of range; allowed: at least 1")
    return value


def positive_number(text: str) -> float:
    """Read a finite number above 0, for argparse."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; allowed: above 0")
    return value


def new_file(text: str) -> Path:
    """Read the name of a file that can be written, for argparse."""
    path = Path(text)
    try:
        check_new_file(path, "file")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
