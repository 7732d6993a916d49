"""Preprocessing, training and export, killed at random moments (SIGKILL) and started again until they are done.

Does the last start succeed, and is the result that of a run that nobody disturbed? Compared are the arrays of a
dataset, the states and the curves of a training, and the names and graphs of an export; nothing may be left over. The
exit code is 1 if something differs.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.fuzz_material import STEPS, dataset_words, export_words, make_recordings, training_words
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from scripts.pipeline import ROOT, empty_folder
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.files import files_below, sha256_of_file

OF_MACHINE = ("performance/", "memory/")  # columns that no two runs share
MOST_STARTS = 200


@dataclass(frozen=True)
class Subject:
    """What is killed.

    Attributes:
        words: of its command line, for results in a folder.
        result: what must be equal, of the folder with results.
    """

    words: Callable[[Path], list[str]]
    result: Callable[[Path], Any]


def main() -> int:
    """Kill each subject so many times, and compare."""
    parser = BenchmarkParser("kill_runs", __doc__)
    parser.add_argument(
        "--rounds", type=whole_number, default=5, help="results that are made, each with kills (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument(
        "--subjects", nargs="+", choices=("preprocess", "train", "export"), default=["preprocess", "train", "export"]
    )
    parser.add_work()
    options = parser.parse_args()
    return run_program("kill_runs", lambda: kill_all(options))


def kill_all(options: argparse.Namespace) -> int:
    """Make each result undisturbed, then with kills; returns the exit code."""
    work, drawn = work_folder(options), random.Random(options.seed)
    empty_folder(work)
    make_recordings(work / "recordings", 6)
    rows = []
    for name, subject in subjects(work).items():
        whole = work / f"{name}_whole"
        seconds = run_whole(subject.words(whole), work)
        expected = subject.result(whole)
        if name not in options.subjects:
            continue
        kills, differing, left = 0, 0, 0
        for number in range(options.rounds):
            folder = work / f"{name}_{number}"
            kills += run_killed(subject.words(folder), work, seconds, drawn)
            differing += subject.result(folder) != expected
            left += len(hidden(folder) - hidden(whole))
        rows.append([name, options.rounds, kills, differing, left])
    emit(table(rows, ["what", "results", "kills", "different", "left over"]))
    write_figures(options, "kill_runs", rows)
    return int(any(row[3] or row[4] for row in rows))


def subjects(work: Path) -> dict[str, Subject]:
    """Return what is killed; each uses the undisturbed result of the one before."""
    datasets, run = work / "preprocess_whole", work / "train_whole" / "tiny"
    training = [
        f"trainer.steps={STEPS}",
        "trainer.validate_every=10",
        "trainer.save_every=4",
        "trainer.log_every=2",
        "resume=auto",
    ]
    return {
        "preprocess": Subject(
            lambda folder: ["preprocess.py", *dataset_words(work / "recordings", folder)], dataset_of
        ),
        "train": Subject(
            lambda folder: ["train.py", *training_words(datasets, folder, "tiny", STEPS), *training], run_of
        ),
        "export": Subject(lambda folder: ["export_onnx.py", *export_words(run, folder)], voice_of),
    }


def run_whole(words: Sequence[str], work: Path) -> float:
    """Run a script to its end and return the seconds that it took.

    Raises:
        WorkbenchError: if it fails.
    """
    started = time.monotonic()
    done = _start(words, work).wait()
    if done:
        raise WorkbenchError(f"{' '.join(words)} ended with {done}; its log is in {work / 'log'}")
    return time.monotonic() - started


def run_killed(words: Sequence[str], work: Path, seconds: float, drawn: random.Random) -> int:
    """Start a script, kill it at random moments and start it again until it is done; returns how often it was killed.

    Raises:
        WorkbenchError: if it fails by itself, or is never done.
    """
    for kills in range(MOST_STARTS):
        process = _start(words, work)
        try:
            code = process.wait(drawn.uniform(0.3, 1.15) * seconds * (1 + kills / 20))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            continue
        if code:
            raise WorkbenchError(
                f"{' '.join(words)} ended with {code} after {kills} kills; its log is in {work / 'log'}"
            )
        return kills
    raise WorkbenchError(f"{' '.join(words)} was not done after {MOST_STARTS} starts")


def _start(words: Sequence[str], work: Path) -> "subprocess.Popen[bytes]":
    script, *overrides = words
    with (work / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / script), *overrides], cwd=work, stdout=log, stderr=log, start_new_session=True
        )


def dataset_of(folder: Path) -> dict[str, str]:
    """Return the hashes of a dataset's arrays, manifest and description."""
    return {
        str(path.relative_to(folder)): sha256_of_file(path)
        for path in files_below(folder)
        if path.suffix in (".npy", ".jsonl") or path.name == "manifest.json"
    }


def run_of(folder: Path) -> tuple[str, list[dict[str, str]]]:
    """Return the state and the curves of a run."""
    run = folder / "tiny"
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state = {key: value.numpy().tobytes().hex() for key, value in content["state_dict"].items()}
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return str(sorted(state.items())), [
        {key: value for key, value in row.items() if not key.startswith(OF_MACHINE)} for row in rows
    ]


def voice_of(folder: Path) -> dict[str, str]:
    """Return the hashes of a voice's graphs, and the names of its other files."""
    return {
        str(path.relative_to(folder)): sha256_of_file(path) if path.suffix == ".onnx" else ""
        for path in files_below(folder)
    }


def hidden(folder: Path) -> set[Path]:
    """Return the hidden files and folders, which a work that is under way makes for itself."""
    return {path.relative_to(folder) for path in folder.rglob(".*")}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
