"""The one place that writes results to standard output."""

import sys
from collections.abc import Sequence


def emit(text: str = "") -> None:
    """Write one piece of text and a line break to standard output; what its encoding cannot hold becomes `?`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # consoles of Windows hold some letters only
    sys.stdout.write(utf8_text(text).encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def utf8_text(text: str) -> str:
    """Return what UTF-8 can hold: bytes of a file name that are no UTF-8 become the replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Lay out rows under headers in aligned columns; numbers are aligned to the right."""
    cells = [[str(header) for header in headers]] + [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    columns = range(len(headers))
    numeric = [bool(rows) and all(isinstance(row[column], int | float) for row in rows) for column in columns]
    lines = []
    for index, row in enumerate(cells):
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
        if index == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
