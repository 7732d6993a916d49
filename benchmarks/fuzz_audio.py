"""Give the readers of recordings thousands of damaged and made-up sound files and count what became of them.

    python -m benchmarks.fuzz_audio [--seed N] [--count N] [--seconds S]

Each file is read as test_model.py and as preprocess.py read it, in a process of its own. The counts:

* whole: what was read is as long as the sound was, at its rate: the damage does not matter;
* handled: refused in one line, or read with a note;
* silent: what was read has another length or rate, or a sample beyond +60 dBFS, and nobody said so;
* traceback, crash, hang: as they say.

Silent are also changes that no program can see: a header that names another rate in all places is as good as the
true one.
"""

import logging
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.damaged_audio import Sample, damage, make_samples
from benchmarks.options import BenchmarkParser
from utils.audio.decoder import BROKEN_LEVEL
from utils.command_line import positive_number, run_program, whole_number
from utils.config.preprocess import preprocess_job
from utils.console import emit, table
from utils.corpus.reading import read_recording
from utils.errors import WorkbenchError
from utils.inference.source import read_source

RESULTS = ("whole", "handled", "silent", "traceback", "crash", "hang")
BAD = ("traceback", "crash", "hang")
RATE = 24000
PATIENCE_SECONDS = 120.0
ALLOWED_SECONDS = 0.15  # encoders add so much
MOST_SHOWN = 10
log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """What reading a file gave: one of RESULTS, and the words of it."""

    result: str
    words: str


@dataclass
class FuzzReport:
    """What became of all files.

    Attributes:
        counts: by (kind of file, result).
        examples: some files that were not handled, and why.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def number(self, result: str) -> int:
        """Return how many files had a result."""
        return sum(count for (_, found), count in self.counts.items() if found == result)

    @property
    def is_bad(self) -> bool:
        """Whether a file led to a traceback, a crash or a hang."""
        return any(self.number(result) for result in BAD)

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.counts})
        rows = [(kind, [self.counts[kind, result] for result in RESULTS]) for kind in kinds]
        rows.append(("all", [self.number(result) for result in RESULTS]))
        whole = [[kind, sum(numbers), *numbers] for kind, numbers in rows]
        lines = [table(whole, ["kind", "tried", *RESULTS])]
        return "\n".join([*lines, *self.examples])


def fuzz_audio(seed: int, count: int, seconds: float) -> FuzzReport:
    """Damage sound files and read them.

    Args:
        seed: the same files for the same seed.
        count: files at most.
        seconds: no new file is begun after so much time.
    """
    report, rng, end = FuzzReport(), np.random.default_rng(seed), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz_audio.") as place:
        folder = Path(place)
        samples = make_samples(folder / "whole")
        reader = _Reader()
        try:
            for number in range(count):
                if time.monotonic() > end:
                    break
                sample = samples[int(rng.integers(len(samples)))]
                data, how = damage(sample, rng)
                path = folder / f"{number}{sample.suffix}"
                path.write_bytes(data)
                heard = reader.read(path, sample)
                path.unlink()
                report.counts[sample.kind, heard.result] += 1
                if heard.result in ("silent", *BAD) and len(report.examples) < MOST_SHOWN:
                    report.examples.append(f"{heard.result}: {sample.kind} {number}, {how}: {heard.words}")
        finally:
            reader.end()
    return report


def listen(path: Path, sample: Sample) -> Heard:
    """Read a file at both doors; returns the worse."""
    found = [_guarded(door, path, sample) for door in (_convert, _prepare)]
    return max(found, key=lambda heard: RESULTS.index(heard.result))


def _guarded(door: Callable[[Path, Sample], Heard], path: Path, sample: Sample) -> Heard:
    try:
        return door(path, sample)
    except WorkbenchError as error:
        return Heard("traceback" if "\n" in str(error) else "handled", str(error))
    except Exception as error:  # noqa: BLE001  what is looked for
        return Heard("traceback", f"{type(error).__name__}: {error}")


def _convert(path: Path, sample: Sample) -> Heard:
    """Read as test_model.py does."""
    source = read_source(path, RATE)
    if source.problem:
        return Heard("handled", source.problem)
    audio = source.samples
    if not np.isfinite(audio).all() or np.abs(audio).max(initial=0) > BROKEN_LEVEL:
        return Heard("silent", "a sample is not finite or beyond +60 dBFS")
    if source.original_rate != sample.sample_rate:
        return Heard("silent", f"{source.original_rate} Hz of {sample.sample_rate}")
    return _compared(len(audio) / RATE, sample)


def _prepare(path: Path, sample: Sample) -> Heard:
    """Read as preprocess.py does."""
    job = preprocess_job(["dataset.name=fuzz", f"dataset.source={path.parent}"])
    recording = read_recording(path, job.audio, job.preprocess, path.with_suffix(".npy"))
    path.with_suffix(".npy").unlink(missing_ok=True)
    words = [*filter(None, [recording.problem]), *recording.notes]
    return Heard("handled", words[0]) if words else _compared(recording.seconds, sample)


def _compared(seconds: float, sample: Sample) -> Heard:
    is_whole = abs(seconds - sample.seconds) <= ALLOWED_SECONDS
    return Heard("whole" if is_whole else "silent", f"{seconds:.2f} s of {sample.seconds:.2f}")


class _Reader:
    """Reads files in another process, which may end or hang."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def read(self, path: Path, sample: Sample) -> Heard:
        """Return what reading a file gave."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other,), daemon=True)
            self._process.start()
            other.close()
        assert self._pipe is not None
        self._pipe.send((path, sample))
        if not self._pipe.poll(PATIENCE_SECONDS):
            self.end()
            return Heard("hang", f"no end after {PATIENCE_SECONDS:.0f} s")
        try:
            heard: Heard = self._pipe.recv()
        except EOFError:
            process = self._process
            process.join()
            self.end()
            return Heard("crash", f"exit code {process.exitcode}")
        return heard

    def end(self) -> None:
        """End the process."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    logging.disable(logging.WARNING)
    while True:
        try:
            path, sample = pipe.recv()
        except EOFError:
            return
        pipe.send(listen(path, sample))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 after a traceback, a crash or a hang."""
    parser = BenchmarkParser("fuzz_audio", __doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=whole_number, default=1000, help="files")
    parser.add_argument("--seconds", type=positive_number, default=900.0, help="no new file is begun after so long")
    options = parser.parse_args(arguments)

    def work() -> int:
        report = fuzz_audio(options.seed, options.count, options.seconds)
        emit(str(report))
        return int(report.is_bad)

    return run_program("fuzz_audio", work)


if __name__ == "__main__":
    sys.exit(main())
