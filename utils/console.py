"""The one place that writes results to standard output, and what a console can do to a program that writes to it."""

import io
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

# what steers a terminal or turns its text around and is no letter: C0 and C1 of ECMA-48, marks of direction of UAX 9
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINE_BREAKS = re.compile("[\n\u2028\u2029]")


def emit(text: str = "") -> None:
    """Write one piece of text and a line break to standard output; what its encoding cannot hold becomes `?`.

    A console that is gone (`| head`, a closed terminal, a full disk) ends no work: the text is dropped. Nothing in it
    steers the terminal, see visible.
    """
    _write_line(sys.stdout, text)


def tell(text: str) -> None:
    """Write one piece of text and a line break to standard error, as `emit` does to standard output."""
    _write_line(sys.stderr, text)


def tell_error(kind: str, lines: Sequence[str]) -> None:
    """Write an error to standard error, each of its lines as one, whatever names stand in it."""
    tell(f"{kind}: " + "\n".join(one_line(line) for line in lines))


def protect_console() -> None:
    """Let nothing that this process writes to its console raise an error: log lines, progress, libraries.

    Streams that somebody has put in place of the process's own are left as they are.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8", errors="replace"))  # noqa: SIM115  as long as the process
        elif stream is getattr(sys, f"__{name}__") and type(stream) is io.TextIOWrapper:
            patient = _PatientConsole.of(stream)
            setattr(sys, name, patient)
            setattr(sys, f"__{name}__", patient)
            for handler in logging.root.handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                    handler.stream = patient  # not by setStream, which flushes the stream that is gone


def pasted(*words: object) -> str:
    """Return words as a command line that can be pasted into a shell."""
    return shlex.join(str(word) for word in words)


def visible(text: str) -> str:
    """Return a text that cannot steer a terminal: control characters become escapes such as \\x1b.

    Names of files, speakers and voices are often somebody else's, and may colour, hide or forge what is shown. Tabs and
    line breaks stay.
    """
    return _STEERING.sub(_escape, text)


def one_line(text: str) -> str:
    """Return `visible` of a text, its line breaks as escapes too: a name with one adds no line to a message."""
    return _LINE_BREAKS.sub(_escape, visible(text))


class VisibleFormatter(logging.Formatter):
    """Lines of a log in which nothing steers the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return visible(super().format(record))


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


class _PatientConsole(io.TextIOWrapper):
    """A console that never raises: other letters become `?`, and what cannot be written is dropped."""

    @classmethod
    def of(cls, stream: io.TextIOWrapper) -> "_PatientConsole":
        """Take the place of a stream; it cannot be used any more."""
        encoding, errors, is_by_line = stream.encoding, stream.errors, stream.line_buffering
        with suppress(OSError):
            stream.flush()
        patient = errors if errors not in (None, "strict", "surrogateescape") else "replace"
        return cls(stream.detach(), encoding=encoding, errors=patient, line_buffering=is_by_line)

    def write(self, text: str) -> int:
        """Write as much as can be written; returns the length of the text."""
        try:
            return super().write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Hand to the system what is buffered."""
        try:
            super().flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Write to nothing from now on; what is still in a buffer goes there too."""
        with suppress(OSError, ValueError):
            _to_nothing(self.fileno())


def _write_line(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"  # consoles of Windows hold some letters only
    try:
        stream.write(utf8_text(visible(text)).encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            _to_nothing(stream.fileno())


def _to_nothing(number: int) -> None:
    """Let an open file of the system lead to nothing: Python writes what is in a buffer once more at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, number)
    finally:
        os.close(nothing)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
