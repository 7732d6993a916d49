"""Run an exported voice in another version of onnxruntime and compare.

    python -m benchmarks.old_runtimes <voice>.onnx 1.19.2 [1.20.1 ...] [--folder <folder for the packages>]

Each version is installed by pip into a folder of its own (kept for the next time) and loads the file from memory as a
host would. Printed is, for each version, the largest difference from the version installed here over several inputs,
in dB relative to the signal; the exit code is 1 if one exceeds -80 dB or a version does not load the file.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import BenchmarkParser, write_figures
from utils.command_line import run_program
from utils.console import emit, table
from utils.errors import ConfigError, WorkbenchError
from utils.verification.measures import relative_db
from utils.verification.signals import hostile, speech_like
from utils.voice_file.names import parse_file_name
from utils.voice_file.runtime import open_session
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT

ALLOWED_DB = -80.0
# stands alone: what it runs in has neither this project nor its packages
PROGRAM = """
import sys
import numpy, onnxruntime
graph, inputs, outputs, output, audio = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
with open(graph, "rb") as stream:
    session = onnxruntime.InferenceSession(stream.read(), options, providers=["CPUExecutionProvider"])
with numpy.load(inputs) as arrays:
    answers = {name: session.run([output], {audio: arrays[name]})[0] for name in arrays.files}
numpy.savez(outputs, **answers)
print(onnxruntime.__version__)
"""


class UnusableError(WorkbenchError):
    """A version of onnxruntime cannot load or run the voice."""


@dataclass(frozen=True)
class Comparison:
    """A version, and how far its worst answer is from that of the version installed here; infinite for NaN."""

    version: str
    difference_db: float
    worst_input: str

    @property
    def is_near(self) -> bool:
        """Whether all its answers count as equal."""
        return self.difference_db <= ALLOWED_DB


def trial_inputs(sample_rate: int) -> dict[str, np.ndarray]:
    """Return named [B, T] inputs: one sample, a block, seconds, a batch and hostile ones."""
    lengths = (1, sample_rate // 10, 7919, 3 * sample_rate)
    inputs = {f"{length} samples": speech_like(sample_rate, length, 1)[None] for length in lengths}
    inputs["batch of 2"] = np.stack([speech_like(sample_rate, sample_rate, seed) for seed in (2, 3)])
    return {**inputs, **hostile(sample_rate)}


def installed(version: str, folder: Path) -> Path:
    """Return a folder with onnxruntime of a version, installed there now if it is not yet.

    Raises:
        ConfigError: if pip cannot install it.
    """
    packages = folder / f"onnxruntime-{version}"
    if not (packages / "onnxruntime").is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), f"onnxruntime=={version}"]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
            raise ConfigError(f"pip cannot install onnxruntime=={version} for this Python: {reason}")
    return packages


def answers_of(graph: Path, inputs: dict[str, np.ndarray], packages: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Return what a version says about itself, and its outputs.

    Raises:
        UnusableError: if it cannot load or run the file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        arrays: Any = inputs  # numpy's signature takes names for its own switches
        np.savez(given, **arrays)
        command = [sys.executable, "-S", "-c", PROGRAM, str(graph), str(given), str(made), AUDIO_OUTPUT, AUDIO_INPUT]
        environment = {**os.environ, "PYTHONPATH": str(packages)}
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
            raise UnusableError(f"{packages.name} fails with {graph.name}: {reason}")
        with np.load(made) as found:
            return finished.stdout.strip(), {name: found[name] for name in found.files}


def compare(graph: Path, versions: list[str], folder: Path) -> list[Comparison]:
    """Return a row for each version."""
    session = open_session(graph)
    sample_rate = parse_file_name(graph).sample_rate
    inputs = trial_inputs(sample_rate)
    expected = {name: session.run([AUDIO_OUTPUT], {AUDIO_INPUT: audio})[0] for name, audio in inputs.items()}
    rows = []
    for version in versions:
        said, found = answers_of(graph, inputs, installed(version, folder))
        differences = {name: relative_db(found[name], expected[name]) for name in inputs}
        worst = max(differences, key=lambda name: differences[name])
        rows.append(Comparison(said, differences[worst], worst))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("old_runtimes", __doc__)
    parser.add_argument("graph", type=Path, help="an exported voice")
    parser.add_argument("versions", nargs="+", help="of onnxruntime, such as 1.20.1")
    parser.add_argument("--folder", type=Path, default=Path("runtimes"), help="folder for the packages")
    parser.add_json()
    options = parser.parse_args(arguments)
    return run_program("old_runtimes", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Compare all versions and print the table; return the exit code."""
    try:
        rows = compare(options.graph, options.versions, options.folder)
    except UnusableError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    cells = [[row.version, f"{row.difference_db:.1f} dB", row.worst_input] for row in rows]
    emit(table(cells, ("onnxruntime", "largest difference", "at")))
    # JSON has no infinity
    plain = [asdict(row) | ({} if math.isfinite(row.difference_db) else {"difference_db": None}) for row in rows]
    write_figures(options, "old_runtimes", plain)
    return int(not all(row.is_near for row in rows))


if __name__ == "__main__":
    sys.exit(main())
