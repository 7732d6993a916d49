"""Measure what the checksums of a dataset cost: at the start of a training, and in each update.

    python -m benchmarks.checksums [--minutes 15] [--batch 16] [--seconds 5] [--json FILE]

Two datasets of the same noise, one with checksums and one as they were before there were any. Processor time, files in
the page cache, in turns: opening, and loading the segments of updates in this process. Beside it: one update of
model=lite (a batch in memory, generator and discriminator) and the time from the start of train.py to its first update
(imports, networks, loaders), here that of a run of one update on the dataset.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.data_loading import loader_of
from benchmarks.lite_consumer import LiteConsumer
from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.synthetic_dataset import write_store
from scripts.pipeline import ROOT
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError

BAR_PERCENT = 1.0
ROUNDS = 5
UPDATES = 40
KINDS = ("without", "with")


def spent(action: Callable[[], object]) -> float:
    """Return the processor seconds of an action."""
    started = time.process_time()
    action()
    return time.process_time() - started


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Take all measurements."""
    folders = {kind: write_store(scratch / kind, options.minutes, has_checksums=kind == "with") for kind in KINDS}
    for folder in folders.values():  # into the page cache
        next(loader_of(folder, options.batch, 0))
    opening: dict[str, list[float]] = {kind: [] for kind in KINDS}
    loading: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, folder in folders.items():
            opening[kind].append(spent(lambda folder=folder: CorpusStore.open(folder)))  # type: ignore[misc]
            loader = loader_of(folder, options.batch, 0)
            next(loader)
            loading[kind].append(spent(lambda loader=loader: [next(loader) for _ in range(UPDATES)]) / UPDATES)  # type: ignore[misc]
    lite = LiteConsumer(folders["with"], next(loader_of(folders["with"], options.batch, 0)))
    update = options.batch / lite.clips_per_second(options.seconds)
    return {
        "minutes": options.minutes,
        "megabytes": sum(path.stat().st_size for path in (folders["with"] / "arrays").iterdir()) / 1e6,
        "opening_seconds": {kind: float(np.median(values)) for kind, values in opening.items()},
        "loading_seconds": {kind: float(np.median(values)) for kind, values in loading.items()},
        "start_seconds": start_seconds(folders["without"], scratch),
        "update_seconds": update,
    }


def start_seconds(folder: Path, scratch: Path) -> float:
    """Return the processor seconds of train.py up to its first update."""
    words = [f"dataset.root={folder.parent}", f"dataset.name={folder.name}", f"run.root={scratch}", "run.name=start"]
    words += ["trainer.probe=true", "data.num_workers=0", "data.batch_size=1", "retrieval.codebook_size=0"]
    words += ["pretrained=none"]
    before = os.times()
    done = subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"train.py ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    rows, reached = [], []
    for name, cost, whole in (
        (f"start, {result['megabytes']:.0f} MB", "opening_seconds", "start_seconds"),
        (f"update of {options.batch} clips", "loading_seconds", "update_seconds"),
    ):
        without, having = (1000 * result[cost][kind] for kind in KINDS)
        share = 0.1 * (having - without) / result[whole]
        rows.append([name, round(without, 2), round(having, 2), round(1000 * result[whole]), f"{share:.2f} %"])
        reached.append(Bar(f"{name}: % for checksums", share, BAR_PERCENT, False))
    emit(table(rows, ["ms of processor time", "without checksums", "with", "the whole", "share"]))
    show_bars(reached)
    write_figures(options, "checksums", {**result, "bars": plain_bars(reached)})
    return 0 if all_reached(reached) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("checksums", __doc__)
    parser.add_argument("--minutes", type=positive_number, default=15.0, help="of audio")
    parser.add_argument("--batch", type=whole_number, default=16, help="clips in a batch")
    parser.add_argument("--seconds", type=positive_number, default=5.0, help="length of the measurement of updates")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a bar is missed."""
    options = parse(arguments)
    return run_program("checksums", lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
