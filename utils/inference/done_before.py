"""What an earlier call of test_model.py converted already, so that one that was ended goes on where it was."""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from utils.files import sha256_of_json

SUFFIX = ".part.jsonl"


class DoneBefore:
    """The rows of a report, kept from the moment on at which each file is done.

    A row counts while recording, settings and output are what they were. The rows of a call stand in a file beside the
    report until the report itself is written.

    Args:
        report: where the report is written.
        settings: all that the results depend on, besides the recordings.
        resumes: use the rows of earlier calls.
    """

    def __init__(self, report: Path, settings: Mapping[str, Any], *, resumes: bool) -> None:
        self._path = report.with_name(report.name + SUFFIX)
        self._settings = sha256_of_json(dict(settings))
        self._lock = threading.Lock()
        self._stream: IO[str] | None = None
        self._rows = {str(row["key"]): row for row in self._read(report)} if resumes else {}

    def find(self, source: Path, output: Path) -> dict[str, Any] | None:
        """Return the row of a recording that need not be converted again."""
        row = self._rows.get(self.key(source))
        is_there = row is not None and output.is_file() and output.stat().st_size == row.get("output_bytes")
        return row if is_there else None

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row."""
        with self._lock:
            if self._stream is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self._path.open("a", encoding="utf-8")
            self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._stream.flush()

    def key(self, source: Path) -> str:
        """Return what a result depends on: the settings, and name, size and time of the recording."""
        state = source.stat()
        name = os.fsencode(source.absolute()).hex()
        return sha256_of_json([self._settings, name, state.st_size, state.st_mtime_ns])

    def finish(self) -> None:
        """Remove the file of rows: the report has them now."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None
        self._path.unlink(missing_ok=True)

    def _read(self, report: Path) -> list[dict[str, Any]]:
        rows: list[Any] = []
        # a report that is not there, or is of something else, says that nothing was done before
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            rows += json.loads(report.read_text(encoding="utf-8"))["files"]
        with suppress(OSError, ValueError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, RecursionError):  # the last line of a process that was killed
                    rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, dict) and "key" in row]
