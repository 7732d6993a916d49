"""Whether an exported file is still the one that was exported."""

import hashlib
import json
from pathlib import Path

CARD = "card.json"


def changed_since_export(path: Path) -> str | None:
    """Return a line that says so where card.json beside a file states another SHA-256; None where it does not.

    An ONNX file has no checksum of its own: a changed byte of a weight is another sound, without a word.
    """
    try:
        if not (path.parent / CARD).is_file():  # a pipe of this name would never answer
            return None
        card = json.loads((path.parent / CARD).read_text(encoding="utf-8"))
        stated = {str(entry["name"]): str(entry["sha256"]) for entry in card["files"]}
        known = stated.get(path.name)
        if known is None or hashlib.sha256(path.read_bytes()).hexdigest() == known:
            return None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return f"{path} is not the file that {CARD} beside it describes (another SHA-256): it was changed, or is damaged"
