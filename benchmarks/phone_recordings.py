"""Make recordings as a phone in a noisy room gives them, of good ones: a hard target for benchmarks.voice_judge.

    python -m benchmarks.phone_recordings recordings/kathleen recordings/kathleen_phone [--count 100]

Each is written as WAV at 16 kHz under the name that it has; the same input gives the same output.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.judged_sounds import over_phone
from benchmarks.options import BenchmarkParser
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import run_program, whole_number
from utils.console import emit
from utils.errors import DataError


def make(options: argparse.Namespace) -> int:
    """Write the recordings; return the exit code.

    Raises:
        DataError: if there are none, or there is something in the output folder.
    """
    if not options.source.is_dir():
        raise DataError(f"{options.source} is not a folder of recordings")
    if options.output.exists():
        raise DataError(f"{options.output} is there already; name another folder")
    paths = list_audio(options.source)
    for index, path in enumerate(spread(paths, options.count or len(paths))):
        made = over_phone(load_audio(path, FEATURE_RATE), np.random.default_rng(index))
        place = (options.output / path.relative_to(options.source)).with_suffix(".wav")
        save_audio(place, made, FEATURE_RATE)
    emit(f"{options.output}: {len(list_audio(options.output))} recordings")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("phone_recordings", __doc__)
    parser.add_argument("source", type=Path, help="folder of recordings")
    parser.add_argument("output", type=Path, help="folder that is made")
    parser.add_argument("--count", type=whole_number, help="so many of them, evenly spread (default: all)")
    options = parser.parse_args(arguments)
    return run_program("phone_recordings", lambda: make(options))


if __name__ == "__main__":
    sys.exit(main())
