"""Reading metrics.csv, of which a row may be cut and any byte damaged. Nothing here needs PyTorch."""

import csv
from pathlib import Path

STEP = "step"
LONGEST_STEP = 18  # digits


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a table; none of a file that is absent, damaged as a whole or has no column `step`."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]  # the last one is not whole
    try:
        rows = list(csv.reader(lines))
    except csv.Error:
        return []
    if not rows or rows[0][:1] != [STEP]:
        return []
    header = rows[0]
    return [dict(zip(header, row, strict=True)) for row in rows[1:] if len(row) == len(header) and _is_step(row[0])]


def _is_step(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_STEP
