"""Plain data of unknown origin: its kinds, depth and size are checked before anything else walks through it."""

import math
from collections.abc import Iterable
from typing import Any

from utils.errors import FormatError

MAX_DEPTH = 32
MAX_VALUES = 1_000_000
MAX_WHOLE_NUMBER = 2**63
SHOWN_CHARACTERS = 80


def require_plain(
    value: Any, what: str, *, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES, is_finite: bool = False
) -> None:
    """Check that data is made of sections, lists, texts, numbers, true, false and null alone.

    What holds itself is too deep, and what is shared counts each time: a few lists inside each other may unfold to
    more values than memory holds.

    Args:
        value: the data.
        what: words for it in the message.
        max_depth: of sections and lists inside each other.
        max_values: in all.
        is_finite: refuse NaN and infinity too.
    Raises:
        FormatError: in one line.
    """
    count, stack = 1, [(value, 0)]
    while stack:
        item, depth = stack.pop()
        children = _children(item, what)
        count += len(children)
        if count > max_values:
            raise FormatError(f"{what} holds more than {max_values} values; it was not read")
        if children and depth >= max_depth:
            raise FormatError(f"{what} holds sections more than {max_depth} deep inside each other; it was not read")
        if is_finite and isinstance(item, float) and not math.isfinite(item):
            raise FormatError(f"{what} holds a number that is not finite; get the file again")
        stack += [(child, depth + 1) for child in children]


def _children(item: Any, what: str) -> list[Any]:
    """Return what a value consists of; empty for one that stands for itself."""
    if type(item) is dict:
        wrong: Iterable[Any] = (key for key in item if type(key) not in (str, int))
        for key in wrong:
            raise FormatError(f"{what} holds a key of type {type(key).__name__}; get the file again")
        return list(item.values())
    if type(item) in (list, tuple):
        return list(item)
    if type(item) is int and abs(item) >= MAX_WHOLE_NUMBER:
        raise FormatError(f"{what} holds a number of too many digits; get the file again")
    if item is not None and type(item) not in (bool, int, float, str):
        raise FormatError(f"{what} holds a value of type {type(item).__name__}; get the file again")
    return []


def shown(text: object) -> str:
    """Return a text of unknown origin for a message: as it is, or quoted and cut where it is long or unprintable."""
    if not isinstance(text, str):
        return f"a value of type {type(text).__name__}"
    return text if text.isprintable() and len(text) <= SHOWN_CHARACTERS else repr(text[:SHOWN_CHARACTERS]) + "..."


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says, without control characters, cut."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
