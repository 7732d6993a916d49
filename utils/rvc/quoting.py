"""Values and names of a file of unknown origin, as messages show them: one line, cut, containers by kind alone."""

import re
from collections.abc import Sequence

SHOWN_CHARACTERS = 40
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")  # every parameter of RVC has such a name
SHOWN_AXES = 6
SHOWN_TEXT = 200


def quoted(value: object) -> str:
    """Return a value for a message; text between quotes, of a container no more than its kind.

    A container is never walked through: a few shared lists inside each other unfold to more text than memory holds.
    """
    if isinstance(value, str):
        return repr(value[:SHOWN_CHARACTERS]) + "..." * (len(value) > SHOWN_CHARACTERS)
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**SHOWN_CHARACTERS else "a number of many digits"
    return f"a value of type {type(value).__name__}"


def shown_name(name: object) -> str:
    """Return the name of a parameter as it is, or quoted and cut where it is none of RVC's kind."""
    return name if isinstance(name, str) and PLAIN_NAME.fullmatch(name) else quoted(name)


def shown_shape(shape: Sequence[int]) -> str:
    """Return a shape such as [3, 7, 2]; of many axes the first ones."""
    return str(list(shape)) if len(shape) <= SHOWN_AXES else f"[{len(shape)} axes]"


def said_text(value: object) -> str:
    """Return a text of a file that is only shown: one line, cut, empty where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in ("", "None", "not stated"):
        return ""
    text = str(value) if not isinstance(value, int) or abs(value) < 10**SHOWN_TEXT else quoted(value)
    return text if len(text) <= SHOWN_TEXT and text.isprintable() else quoted(text)
