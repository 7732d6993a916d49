"""A process that decodes foreign sound files and may die of one: what is wrong with a file stays in it.

It is a new interpreter, neither a fork (threads of PyTorch would hang in it) nor a spawn of multiprocessing (which runs
the main program of whoever calls anew), so it works alike on every system. It serves many files one after the other.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from utils.audio.decoder import Library
from utils.errors import DataError
from utils.idle_processes import IdleProcesses, interpreter_of, one_thread

COMMAND = interpreter_of("utils.audio.decoder_child")
PATIENCE_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 1e6  # of a disk: some files are read whole before they tell their first sample
TIME_OVER = 1  # exit code of faulthandler
MOST_WAITING = 4


class DecoderProcess:
    """Gives orders to a decoder_child.

    Args:
        command: what starts it.
    Raises:
        DataError: if it does not start.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=one_thread())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        if not self._answers.readline():
            self.end()
            raise DataError(f"no process for decoding could be started ({ending(self._process.returncode)})")

    def tell(self, order: dict[str, Any]) -> None:
        """Send an order; one to a process that died is lost."""
        try:
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()
        except OSError:  # the answer, which does not come, tells it
            pass

    def answer(self) -> dict[str, Any] | None:
        """Return the answer to an order; None if the process died."""
        line = self._answers.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def read_into(self, block: np.ndarray) -> bool:
        """Read the samples behind an answer; return whether all came."""
        if not block.size:
            return True
        count: int = self._answers.readinto(block.data.cast("B"))  # type: ignore[attr-defined]
        return count == block.nbytes

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> int:
        """End it, if it has not ended, and return its exit code, -n for signal n."""
        for pipe in (self._orders, self._answers):
            with suppress(OSError):  # it died with an order in the pipe
                pipe.close()
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@cache
def decoder_processes() -> IdleProcesses[DecoderProcess]:
    """Return the decoder processes of this process."""
    return IdleProcesses(partial(DecoderProcess, COMMAND), MOST_WAITING)


class RemoteDecoder:
    """Decodes a file in another process; a Decoder.

    Args:
        path: the file.
        start_seconds: where the first block begins.
        library: "ffmpeg" leaves libsndfile out.
        headerless: format of a file that does not tell its own, such as "g722".
        seconds: longest time for an answer; None: 30 s and one more for each megabyte.
    Raises:
        DataError: if the file is missing, empty, no sound, beyond the limits, or ended the process.
    """

    name: Literal["libsndfile", "ffmpeg"]

    def __init__(
        self,
        path: Path,
        start_seconds: float = 0.0,
        *,
        library: Library = "any",
        headerless: str | None = None,
        seconds: float | None = None,
    ) -> None:
        self.problem: str | None = None
        self.is_stuck = False
        self._is_asked = False
        self._path, self._whole_path = path, Path(os.path.abspath(path))  # noqa: PTH100  resolves no links
        size = _size_of(path)
        self._seconds = PATIENCE_SECONDS + size / SLOWEST_BYTES_PER_SECOND if seconds is None else seconds
        self._process: DecoderProcess | None = decoder_processes().borrow()
        header = self._asked({
            "do": "open", "path": os.fsencode(self._whole_path).hex(), "start_seconds": start_seconds,
            "library": library, "headerless": headerless, "seconds": self._seconds,
        })  # fmt: skip
        self.name = header["name"]
        self.sample_rate, self.num_channels = int(header["sample_rate"]), int(header["num_channels"])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 [n, C] until the end or until nothing more can be decoded.

        Raises:
            DataError: if the file holds more than it can, or ended the process.
        """
        answer = self._asked({"do": "next"})
        while "samples" in answer:
            block = np.empty((answer["samples"], self.num_channels), np.float32)
            with self._reading() as process:
                is_whole = process.read_into(block)
            if not is_whole:
                raise self._death()
            self._ask({"do": "next"})  # it decodes while this process works on the block
            yield block
            answer = self._answer()
        self.problem, self.is_stuck = answer["problem"], answer["is_stuck"]

    def close(self) -> None:
        """Release the file and the process."""
        process, self._process = self._process, None
        if process is None:
            return
        answer: dict[str, Any] | None = {}
        if self._is_asked:
            answer = process.answer()
            rest = np.empty(((answer or {}).get("samples", 0), self.num_channels), np.float32)
            if not process.read_into(rest):
                answer = None
        if answer is None:
            process.end()
            return
        process.tell({"do": "close"})
        decoder_processes().give_back(process)

    @contextmanager
    def _reading(self) -> Iterator[DecoderProcess]:
        """Give the process up if the reading is interrupted: what follows in the pipe cannot be told apart."""
        if self._process is None:
            raise DataError(f"{self._path} was closed while it was read")
        try:
            yield self._process
        except BaseException:
            process, self._process = self._process, None
            process.end()
            raise

    def _ask(self, order: dict[str, Any]) -> None:
        assert self._process is not None
        self._process.tell(order)
        self._is_asked = True

    def _asked(self, order: dict[str, Any]) -> dict[str, Any]:
        self._ask(order)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        with self._reading() as process:
            answer = process.answer()
        self._is_asked = False
        if answer is None:
            raise self._death()
        if "error" in answer:
            self.close()
            cause = OSError(answer["errno"], os.strerror(answer["errno"])) if answer.get("errno") else None
            raise DataError(str(answer["error"]).replace(str(self._whole_path), str(self._path), 1)) from cause
        return answer

    def _death(self) -> DataError:
        """Return what to say of a file that ended the process."""
        process, self._process = self._process, None
        code = process.end() if process is not None else 0
        if code == TIME_OVER:
            return DataError(f"{self._path} cannot be decoded: the decoder did not answer within {self._seconds:.0f} s")
        return DataError(f"{self._path} cannot be decoded: it ended the decoder ({ending(code)})")


def read_tags(path: Path) -> dict[str, str]:
    """Return title, artist and other tags of a sound file; nothing where there are none or they cannot be read."""
    seconds = PATIENCE_SECONDS + _size_of(path) / SLOWEST_BYTES_PER_SECOND
    process = decoder_processes().borrow()
    whole = os.path.abspath(path)  # noqa: PTH100  resolves no links
    try:
        process.tell({"do": "tags", "path": os.fsencode(whole).hex(), "seconds": seconds})
        answer = process.answer()
    except BaseException:
        process.end()
        raise
    decoder_processes().give_back(process)
    return dict((answer or {}).get("tags", {}))


def ending(exit_code: int | None) -> str:
    """Return the name of the signal that ended a process, or its exit code."""
    names = {-number: number.name for number in signal.Signals}
    return names.get(exit_code or 0, f"exit code {exit_code}")


def _size_of(path: Path) -> int:
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    return size
