"""Compare our networks with recorded numbers of the public implementations of RVC, Applio, So-VITS-SVC and VITS.

    python -m benchmarks.golden <folder>

Files rvc_<version>_<rate>_<f0|nof0>.npz, applio_<mrf|refinegan>_<rate>.npz, discriminator_<version>.npz,
applio_discriminator_v3.npz, spectrograms.npz, sovits_<version>_<variant>.npz, sovits_4.1_discriminator.npz,
sovits_features.npz and vits_<configuration>_voice_conversion.npz of the folder hold inputs and outputs of networks
whose weights are a formula of their names, with all noise switched off. Printed is the largest difference of each
array over its largest value, each array that a file of its kind must have and this one lacks, and each .npz file of
another name; the exit code is 1 if a difference exceeds 1e-4 or an array is missing.
"""

import math
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.golden_networks import (
    discriminator_errors,
    rvc_errors,
    sovits_errors,
    sovits_feature_errors,
    spectrum_errors,
    vits_errors,
)
from benchmarks.golden_weights import Arrays
from benchmarks.options import BenchmarkParser
from utils.command_line import run_program
from utils.console import emit, table
from utils.errors import ConfigError, DataError, FormatError

TOLERANCE = 1e-4
Errors = Iterator[tuple[str, float]]


class Kind(NamedTuple):
    """A kind of file: how it is called, what it must hold, and what compares it."""

    name: str
    pattern: str
    needed: Callable[[Arrays, re.Match[str]], list[str]]
    errors: Callable[[Arrays, re.Match[str]], Errors]


class Checked(NamedTuple):
    """What a file records: (array, relative error) of everything in it, and what it lacks."""

    errors: list[tuple[str, float]]
    missing: list[str]


def _needed_of_rvc(arrays: Arrays, match: re.Match[str]) -> list[str]:
    return ["phone", "spec", "speaker", *["f0"] * (match["pitch"] == "f0")]


def _needed_waves(arrays: Arrays, match: re.Match[str]) -> list[str]:
    rates = {name.partition("_")[2] for name in arrays if name.startswith(("wave_", "linear_", "mel_"))}
    return [f"wave_{rate}" for rate in sorted(rates)] or ["wave_<rate>"]


KINDS = (
    Kind(
        "rvc_<version>_<rate>_<f0|nof0>.npz",
        r"rvc_(?P<version>v\d+)_(?P<rate>\d+k)_(?P<pitch>f0|nof0)",
        _needed_of_rvc,
        lambda arrays, match: rvc_errors(arrays, f"rvc_{match['version']}_{match['rate']}", match["pitch"] == "f0"),
    ),
    Kind(
        "applio_<mrf|refinegan>_<rate>.npz",
        r"applio_(?P<vocoder>mrf|refinegan)_(?P<rate>\d+k)",
        lambda arrays, match: ["phone", "spec", "speaker", "f0"],
        lambda arrays, match: rvc_errors(arrays, f"rvc_{match['vocoder']}_{match['rate']}"),
    ),
    Kind(
        "[applio_]discriminator_<version>.npz",
        r"(applio_)?discriminator_(?P<version>v\d+)",
        lambda arrays, match: ["real", "fake"],
        lambda arrays, match: discriminator_errors(arrays, f"rvc_{match['version']}"),
    ),
    Kind(
        "sovits_4.1_discriminator.npz",
        r"sovits_\d\.\d_discriminator",
        lambda arrays, match: ["real", "fake"],
        lambda arrays, match: discriminator_errors(arrays, "sovits"),
    ),
    Kind(
        "sovits_features.npz",
        "sovits_features",
        lambda arrays, match: ["wave_44k", "units_50fps", "f0_100fps", "f0_gaps_86fps", "coarse_hz"],
        lambda arrays, match: sovits_feature_errors(arrays),
    ),
    Kind(
        "sovits_<4.0|4.1>_<variant>.npz",
        r"sovits_(?P<version>4\.[01])_(?P<variant>\w+)",
        lambda arrays, match: ["c", "f0", "uv", "spec", "speaker"],
        lambda arrays, match: sovits_errors(arrays, match["version"], match["variant"]),
    ),
    Kind(
        "vits_<configuration>_voice_conversion.npz",
        r"vits_\w+_voice_conversion",
        lambda arrays, match: ["spec", "speaker_source", "speaker_target"],
        lambda arrays, match: vits_errors(arrays),
    ),
    Kind("spectrograms.npz", "spectrograms", _needed_waves, lambda arrays, match: spectrum_errors(arrays)),
)
NAMES = ", ".join(kind.name for kind in KINDS)


def kind_of(path: Path) -> tuple[Kind, re.Match[str]] | None:
    """Return the kind of a file and what its name says, None for a name of no kind."""
    matches = ((kind, re.fullmatch(kind.pattern, path.stem)) for kind in KINDS)
    return next(((kind, match) for kind, match in matches if match), None)


def check_file(path: Path) -> Checked:
    """Compare everything that a file records, and list what it lacks.

    Raises:
        FormatError: if the file is damaged, or holds or is called what no network here makes.
    """
    found = kind_of(path)
    if found is None:
        raise FormatError(f"{path}: its name is none of {NAMES}")
    kind, match = found
    try:
        with np.load(path) as content:
            arrays = {name: content[name] for name in content.files}
        if missing := [name for name in kind.needed(arrays, match) if name not in arrays]:
            return Checked([], missing)
        errors = list(kind.errors(arrays, match))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} is damaged ({str(error).splitlines()[0]}); copy it again") from error
    except (FormatError, ConfigError) as error:
        raise FormatError(f"{path}: {error}") from error
    missing = [name for name, _ in errors if name not in arrays]
    return Checked([(name, error) for name, error in errors if name in arrays], missing)


def golden_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of recorded numbers in a folder, and other .npz files there.

    Raises:
        DataError: if there is none of the first.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one with the files of recorded numbers: {NAMES}")
    everything = sorted(folder.glob("*.npz"))
    found = [path for path in everything if kind_of(path)]
    if not found:
        raise DataError(f"{folder} holds no recorded numbers; needed: {NAMES}")
    return found, [path for path in everything if path not in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("golden", __doc__)
    parser.add_argument("folder", type=Path, help="folder of the recorded numbers")
    options = parser.parse_args(arguments)
    return run_program("golden", lambda: check_folder(options.folder))


def check_folder(folder: Path) -> int:
    """Compare all files of a folder and print the tables; return the exit code."""
    rows: list[tuple[str, str, float]] = []
    num_missing = 0
    files, others = golden_files(folder)
    for path in others:
        emit(f"skipped {path.name}: its name is none of {NAMES}")
    for path in files:
        errors, missing = check_file(path)
        rows += [(path.stem, name, error) for name, error in errors]
        num_missing += len(missing)
        emit(table([[path.stem, name, error] for name, error in errors], ["file", "array", "relative error"]))
        for name in missing:
            emit(f"missing: {path.name} lacks {name}")
        emit()
    wrong = [f"{file} {name}" for file, name, error in rows if not error <= TOLERANCE]  # NaN is wrong too
    worst = max((error for *_, error in rows), default=math.nan)
    emit(f"{len(rows)} arrays, largest relative error {worst:.2g}, allowed {TOLERANCE:g}; {num_missing} missing")
    if wrong:
        emit(f"over it: {', '.join(wrong)}")
    return 1 if wrong or num_missing else 0


if __name__ == "__main__":
    sys.exit(main())
