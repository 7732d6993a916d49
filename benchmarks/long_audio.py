"""Measure the memory of test_model.py on long recordings: it must not grow with their length.

    python -m benchmarks.long_audio onnx=exports/demo/<file>.onnx [--minutes 1 10 60] [--rate 48000] [--channels 2]

"processes" is the largest sum of the resident memory of test_model.py and the processes that it starts, looked at 20
times a second (pages that they share count for each); "largest" is the ru_maxrss of the largest of them.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import soundfile

from benchmarks.options import BenchmarkParser
from scripts.pipeline import ROOT
from utils.audio.synthetic_speech import voice
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table
from utils.errors import DataError

NUM_TAKES, TAKE_SECONDS, PAUSE_SECONDS = 8, 20.0, 0.7
LOOKS_PER_SECOND = 20
MEGABYTE = 1e6


class Measured(NamedTuple):
    """Time, and memory in bytes, of one conversion; None where the system does not tell the largest process."""

    seconds: float
    processes: int
    largest: int | None


def write_long(path: Path, minutes: float, sample_rate: int, num_channels: int) -> None:
    """Write a recording of speech-like sound with pauses, 16-bit WAV, in bounded memory."""
    pause = np.zeros(round(PAUSE_SECONDS * sample_rate), np.float32)
    takes = [
        np.concatenate([voice(TAKE_SECONDS, sample_rate, f0_hz=100 + 10 * number, seed=number), pause])
        for number in range(NUM_TAKES)
    ]
    left = round(60 * minutes * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, num_channels, subtype="PCM_16", format="WAV") as file:
        for take in itertools.cycle(takes):
            block = np.repeat(take[:left, None], num_channels, axis=1)
            file.write(block)
            left -= len(block)
            if not left:
                return


def measure(graph: str, path: Path, output: Path) -> Measured:
    """Convert a recording by test_model.py.

    Raises:
        DataError: if it fails.
    """
    command = [sys.executable, str(ROOT / "test_model.py"), graph, f"audio={path}", f"output={output}", "threads=[1]"]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaints)
        watcher = _Watcher(process.pid)
        largest = _wait(process)
        peak = watcher.end()
        if process.returncode:
            complaints.seek(0)
            words = complaints.read().decode(errors="replace").strip()
            raise DataError(words or f"exit code {process.returncode}")
    return Measured(time.perf_counter() - started, peak, largest)


def _wait(process: "subprocess.Popen[bytes]") -> int | None:
    """Wait for the end of a process; return the most memory that it or one that it started had, in bytes."""
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class _Watcher:
    """Looks again and again how much memory a process and those that it starts have."""

    def __init__(self, number: int) -> None:
        self._number, self._peak = number, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> int:
        """Return the most that there was, in bytes."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while not self._done.wait(1 / LOOKS_PER_SECOND):
            self._peak = max(self._peak, _resident(self._number))


def _resident(number: int) -> int:
    """Return the memory of a process and those that it started, now."""
    try:
        parent = psutil.Process(number)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = BenchmarkParser("long_audio", __doc__)
    parser.add_argument("graph", metavar="onnx=<file>", help="the voice, as test_model.py takes it")
    parser.add_argument("--minutes", type=positive_number, nargs="+", default=[1.0, 10.0, 60.0])
    parser.add_argument("--rate", type=whole_number, default=48000)
    parser.add_argument("--channels", type=whole_number, default=2)
    parser.add_argument("--limit-mb", type=positive_number, help="exit with 1 when the processes take more")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def work() -> int:
        rows, most = [], 0.0
        with tempfile.TemporaryDirectory(prefix="long_audio.") as folder:
            for minutes in sorted(options.minutes):
                path = Path(folder, "long.wav")
                write_long(path, minutes, options.rate, options.channels)
                found = measure(options.graph, path, Path(folder, "converted.wav"))
                largest = "-" if found.largest is None else round(found.largest / MEGABYTE)
                rows.append([f"{minutes:g}", round(found.seconds), round(found.processes / MEGABYTE), largest])
                most = max(most, found.processes / MEGABYTE)
        emit(table(rows, ["minutes", "seconds", "processes, MB", "largest, MB"]))
        return int(options.limit_mb is not None and most > options.limit_mb)

    return run_program("long_audio", work)


if __name__ == "__main__":
    sys.exit(main())
