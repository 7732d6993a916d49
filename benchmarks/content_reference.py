"""Compare a content encoder with features that another program recorded with the same weights.

    python -m benchmarks.content_reference <reference.wav> <feats.npy> content=contentvec content.path=<folder or file>

The recording is at 16 kHz, the features are [F, D] at 50 frames a second, such as reference.wav and
contentvec/feats.npy of the package ultimate-rvc (rvc/train/models/reference). Printed are shapes and relative error;
the exit code is 1 if it exceeds 1e-3 or the shapes differ.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.options import BenchmarkParser
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.command_line import run_program
from utils.config.preprocess import preprocess_job
from utils.console import emit
from utils.errors import DataError

TOLERANCE = 1e-3  # half precision of either side would be within it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("content_reference", __doc__)
    parser.add_argument("recording", type=Path, help="16 kHz, mono")
    parser.add_argument("features", type=Path, help=".npy of [F, D], 50 frames a second")
    parser.add_argument("overrides", nargs="+", help="content=contentvec content.path=<folder, id or file>")
    options = parser.parse_args(arguments)
    return run_program("content_reference", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Encode the recording and print the difference; return the exit code."""
    encoder = preprocess_job(options.overrides).content.build()
    found, expected = encoder.encode(read(options.recording))[::2], read_features(options.features)
    difference = relative_error(found, expected)
    shapes = f"{list(found.shape)} here, {list(expected.shape)} recorded"
    emit(f"{shapes}; relative error {difference:.1e} (allowed {TOLERANCE:g})")
    return 0 if difference <= TOLERANCE else 1


def read(path: Path) -> np.ndarray:
    """Read a recording at 16 kHz, cut to whole frames of 20 ms."""
    try:
        audio, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if rate != FEATURE_RATE or audio.ndim != 1:
        raise DataError(f"{path} has {rate} Hz and {audio.ndim} axes; a mono recording at {FEATURE_RATE} Hz is needed")
    samples: np.ndarray = audio[: len(audio) // (2 * FEATURE_HOP) * 2 * FEATURE_HOP]
    return samples


def read_features(path: Path) -> np.ndarray:
    """Read [F, D] of a .npy file; one that holds objects is refused."""
    try:
        features: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no .npy file of numbers ({error})") from error
    return features.astype(np.float32)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return |found - expected| / |expected|; infinite if the shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


if __name__ == "__main__":
    sys.exit(main())
