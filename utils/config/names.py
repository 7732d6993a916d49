"""Names that become folders: none leads out of its place."""

import os
import re

from utils.errors import ConfigError

LONGEST = 150  # bytes of UTF-8; file systems hold 255, and what is written aside has a longer name
SEPARATORS = "/\\"
OF_WINDOWS = '<>:"|?*'  # signs that its folders cannot have
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)  # whatever their ending


def check_folder_name(name: str | None, key: str, *, below: bool = False) -> None:
    """Check a name that becomes a folder of datasets, runs or voices.

    Args:
        name: None where there is none.
        key: setting that gave it, for the message.
        below: whether several names may be joined, such as trials/alice, and signs that only Windows refuses are
            allowed elsewhere: folders that earlier versions made have them.
    Raises:
        ConfigError: if it leads elsewhere or is a name that folders cannot have.
    """
    if name is None:
        return
    forbidden = SEPARATORS + ("" if below and os.name != "nt" else OF_WINDOWS)
    for part in name.split("/") if below else [name]:
        fault = _fault(part, forbidden)
        if fault:
            kind = "a plain name, or several joined by /, below its root" if below else "a plain name, no path"
            raise ConfigError(
                f"{key}={name!r} must be {kind}: {fault}; allowed are letters, digits, blanks and all signs but "
                f"{' '.join(forbidden.replace('/', '') if below else forbidden)}"
            )


def _fault(name: str, forbidden: str) -> str:
    """Return what is wrong with one name; empty if nothing is."""
    if not name.strip():
        return "a name is empty"
    found = [sign for sign in name if sign in forbidden]
    if found:
        return f"it has {found[0]}"
    if not all(sign.isprintable() or "\udc80" <= sign <= "\udcff" for sign in name):  # bytes that are no UTF-8
        return "it has a sign that cannot be seen"
    if name[0] in " .-~" or name[-1] in " .":
        return f"it begins with {name[0]!r}" if name[0] in " .-~" else f"it ends with {name[-1]!r}"
    if DEVICES.fullmatch(name.partition(".")[0].rstrip(" ")):
        return "Windows has a device of this name"
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""
