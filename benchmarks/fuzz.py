"""Wrong command lines and damaged files, drawn at random from a seed: is each refused in one line?

Each input is read in a process of its own. handled: refused in one line, or it was good or came to the same; silent:
taken, with another result; traceback: an error that no user can read; crash: the process died, hung, or took too much
memory. The exit code is 1 if one was not handled. Graphs and audio may be silent: an ONNX file alone does not tell that
a weight was changed, nor a sound that its header says another rate.
"""

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks import fuzz_files, fuzz_overrides
from benchmarks.fuzz_audio import RESULTS, fuzz_audio
from benchmarks.fuzzing import CRASH, HANDLED, OUTCOMES, SILENT, Count, Trial, fuzz
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table

TRIALS: dict[str, Callable[[int, Path], Iterator[Trial]]] = {
    "overrides": fuzz_overrides.trials,
    "checkpoints": fuzz_files.checkpoints,
    "graphs": fuzz_files.graphs,
    "archives": fuzz_files.archives,
}
AUDIO = "audio"
KINDS = (*TRIALS, AUDIO)
MAY_BE_SILENT = ("graphs", AUDIO)  # a graph alone, or a header with another rate, cannot tell
NO_END = 10**9
MINUTES = 15.0
SHOWN = 20


def main() -> int:
    """Try each kind for its share of the time, and print what came of it."""
    torch.set_num_threads(1)  # a forked process would wait for threads that it does not have
    parser = BenchmarkParser("fuzz", __doc__)
    parser.add_argument(
        "--minutes", type=positive_number, default=MINUTES, help=f"for all kinds (default: {MINUTES:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--most", type=whole_number, help="at most so many inputs of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is damaged (default: all)")
    parser.add_work()
    options = parser.parse_args()
    return run_program("fuzz", lambda: try_kinds(options))


def try_kinds(options: argparse.Namespace) -> int:
    """Try wrong inputs of each kind; returns the exit code."""
    work = work_folder(options)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    ends, counts = time.monotonic() + 60 * options.minutes, dict[str, Count]()
    for index, name in enumerate(options.kinds):
        seconds = max(0.0, ends - time.monotonic()) / (len(options.kinds) - index)
        if name == AUDIO:
            counts[name] = try_audio(options.seed, seconds, options.most)
        else:
            counts[name] = fuzz(TRIALS[name](options.seed, work), time.monotonic() + seconds, options.most)
        for line in counts[name].wrong[:SHOWN]:
            emit(f"{name} {line}")
    emit(table([[name, *count.row] for name, count in counts.items()], ["kind", "tried", *OUTCOMES]))
    write_figures(options, "fuzz", {name: {**count.outcomes, "wrong": count.wrong} for name, count in counts.items()})
    return int(any(is_wrong(name, count) for name, count in counts.items()))


def try_audio(seed: int, seconds: float, most: int | None) -> Count:
    """Try damaged sound files, which have a program of their own; a file whose damage does not matter is handled."""
    report = fuzz_audio(seed, most or NO_END, seconds)
    count = Count(wrong=list(report.examples))
    for result in RESULTS:
        outcome = {"whole": HANDLED, "hang": CRASH}.get(result, result)
        count.outcomes[outcome] += report.number(result)
    return count


def is_wrong(kind: str, count: Count) -> bool:
    """Whether something was not handled that should have been."""
    bad = [name for name in OUTCOMES[1:] if count.outcomes[name]]
    return bool(bad) and not (kind in MAY_BE_SILENT and bad == [SILENT])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
