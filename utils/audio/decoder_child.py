"""The process that decodes foreign sound files, one after the other, for another one: see decoder_process.

It reads orders, one line of JSON each, from standard input and answers on standard output: a line of JSON, behind which
the samples of a block follow. It ends with its standard input.
"""

import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.audio.decoder import Decoder, Library, check_format, longest_seconds, too_long
from utils.audio.ffmpeg_decoder import FfmpegDecoder, tags_of
from utils.audio.integrity import damage_of, lacks_length
from utils.audio.sndfile_decoder import SndfileDecoder
from utils.errors import DataError
from utils.memory import limit_this_process

MEMORY_BYTES = 2 << 30  # of addresses; decoding takes a tenth of it
# signals to a whole group of processes: the one that gave the orders decides what becomes of them
LEFT_TO_PARENT = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


def main() -> None:
    """Serve the process at the other end of the pipes."""
    _limit_process()
    silent = os.open(os.devnull, os.O_RDWR)
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(silent, 1)  # libraries print there and to standard error what is in a file
        os.dup2(silent, 2)
        serve(sys.stdin.buffer, answers)
    os._exit(0)


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each order until there are no more."""
    _send(answers, {"is_ready": True})
    session: _Session | None = None
    for line in orders:
        order = json.loads(line)
        block: np.ndarray | None = None
        try:
            if order["do"] == "next" and session is not None:
                answer, block = session.next()
            else:
                if session is not None:
                    session.decoder.close()
                    session = None
                if order["do"] == "close":
                    continue
                if order["do"] == "tags":
                    _send(answers, {"tags": _tags_of(order)})
                    continue
                session = _Session(order)
                answer = session.described()
        except DataError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": f"{_path_of(order, session)} cannot be decoded: it takes more than {MEMORY_BYTES} bytes"}
        except OSError as error:
            reason = f"{_path_of(order, session)} cannot be read ({error.strerror or error})"
            answer = {"error": reason, "errno": error.errno}
        except Exception as error:  # noqa: BLE001  the boundary of a process: what is wrong with a file is an answer
            answer = {"error": f"{_path_of(order, session)} cannot be decoded ({type(error).__name__}: {error})"}
        _send(answers, answer, block)


def open_decoder(path: Path, start_seconds: float, library: Library, headerless: str | None) -> Decoder:
    """Open a sound file in this process.

    Raises:
        DataError: if it is no sound to the library, or to either of them, or no recording has its rate or channels.
    """
    decoder = _first_decoder(path, start_seconds, library, headerless)
    try:
        check_format(path, decoder.sample_rate, decoder.num_channels)
    except DataError:
        decoder.close()
        raise
    return decoder


def _first_decoder(path: Path, start_seconds: float, library: Library, headerless: str | None) -> Decoder:
    first: DataError | None = None
    if library == "any" and headerless is None and lacks_length(path):
        library = "ffmpeg"
    if library != "ffmpeg" and headerless is None:
        try:
            return SndfileDecoder(path, start_seconds)
        except DataError as error:
            if library == "libsndfile":
                raise
            first = error
    try:
        return FfmpegDecoder(path, start_seconds, headerless=headerless)
    except DataError as error:
        raise DataError(f"{first}, nor can ffmpeg" if first else str(error)) from error


def _tags_of(order: dict[str, Any]) -> dict[str, str]:
    """Return the tags of a file; this process ends when that takes longer than the order allows."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123  quick, and no path
        faulthandler.dump_traceback_later(float(order["seconds"]), exit=True, file=nowhere)
        try:
            return tags_of(Path(os.fsdecode(bytes.fromhex(order["path"]))))
        finally:
            faulthandler.cancel_dump_traceback_later()


class _Session:
    """A file that is being decoded within its limits.

    Args:
        order: "path" and the other arguments of open_decoder, and "seconds", which each answer and, beyond the length
            of what was decoded, all together may take.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.path = Path(os.fsdecode(bytes.fromhex(order["path"])))
        self._allowed = float(order["seconds"])
        self._used = 0.0
        self._num_decoded = 0
        self._size = self.path.stat().st_size
        with self._watched():
            self.decoder = open_decoder(self.path, order["start_seconds"], order["library"], order["headerless"])
        self._blocks = self.decoder.blocks()
        self._longest = longest_seconds(self._size) * self.decoder.sample_rate

    def described(self) -> dict[str, Any]:
        """Return what the header says."""
        names = ("name", "sample_rate", "num_channels")
        return {name: getattr(self.decoder, name) for name in names}

    def next(self) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return an answer and the next block, or how it ended.

        Raises:
            DataError: if there is more than the file can hold.
        """
        with self._watched():
            block = next(self._blocks, None)
        if block is None:
            return {"problem": self._problem(), "is_stuck": self.decoder.is_stuck}, None
        self._num_decoded += len(block)
        if self._num_decoded > self._longest:
            raise too_long(self.path, self._size)
        return {"samples": len(block)}, np.ascontiguousarray(block, dtype=np.float32)

    def _problem(self) -> str | None:
        """Return what is wrong with the file, as far as decoder and container tell."""
        if self.decoder.problem is not None:
            return self.decoder.problem
        with self._watched():
            return damage_of(self.path)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End this process, whatever it does, when the time is over."""
        rate = self.decoder.sample_rate if self._num_decoded else 1
        rest = self._allowed + self._num_decoded / rate - self._used
        started = time.monotonic()
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123  quick, and no path
            faulthandler.dump_traceback_later(max(0.01, min(self._allowed, rest)), exit=True, file=nowhere)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        self._used += time.monotonic() - started


def _send(answers: IO[bytes], answer: dict[str, Any], block: np.ndarray | None = None) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    if block is not None:
        answers.write(block.data.cast("B"))
    answers.flush()


def _path_of(order: dict[str, Any], session: _Session | None) -> str:
    return str(session.path if session is not None else os.fsdecode(bytes.fromhex(order["path"])))


def _limit_process() -> None:
    for name in LEFT_TO_PARENT:  # Windows has few of them
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    limit_this_process(MEMORY_BYTES)
