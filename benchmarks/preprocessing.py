"""Measure preprocess.py on real recordings, beside pyworld's harvest alone on the same ones.

    python -m benchmarks.preprocessing [--source FOLDER] [--workers 2] [--json FILE]

The time of preprocess.py is that of the whole program: start of Python and of the workers, decoding, slicing, three
passes of the content encoder, pitch, loudness and packing. Harvest is given the decoded 16 kHz samples and as many
processes.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.options import CORPORA, BenchmarkParser, write_figures
from scripts.pipeline import ROOT
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.corpus.sources import find_sources
from utils.errors import DataError

BAR_TIMES_REAL_TIME = 15.0
HARVEST_SECONDS = 120.0  # of audio; harvest is slow
FIGURES = (("audio_seconds", 1), ("seconds", 2), ("cpu_seconds", 2))  # of the table, with their digits


def measure_preprocess(source: Path, num_workers: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Run preprocess.py into a temporary folder.

    Returns:
        Seconds of audio, seconds of the whole program, and seconds of a second run that finds everything done.
    """
    with tempfile.TemporaryDirectory() as root:
        arguments = [f"dataset.source={source}", "dataset.name=benchmark", f"dataset.root={root}", "dataset.speaker=a"]
        command = [sys.executable, "preprocess.py", *arguments, f"preprocess.num_workers={num_workers}", *overrides]
        seconds, spent = [], []
        for _ in range(2):
            started, before = time.perf_counter(), cpu_seconds_of_children()
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise DataError(f"preprocess.py ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
            seconds.append(time.perf_counter() - started)
            spent.append(cpu_seconds_of_children() - before)
            if len(seconds) == 1:
                report = json.loads((Path(root) / "benchmark" / "report.json").read_text(encoding="utf-8"))
        return {
            "audio_seconds": sum(item["seconds"] for item in report["files"]),
            "clips": report["totals"]["clips"],
            "seconds": seconds[0],
            "cpu_seconds": spent[0],
            "second_run_seconds": seconds[1],
        }


def measure_harvest(source: Path, num_workers: int) -> dict[str, Any]:
    """Track the first two minutes of the recordings with harvest, spread over processes."""
    sounds: list[np.ndarray] = []
    for item in find_sources(source, "a", exclude=source / "datasets").files:
        sounds.append(load_audio(item.path, FEATURE_RATE))
        if sum(map(len, sounds)) >= HARVEST_SECONDS * FEATURE_RATE:
            break
    with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
        pool.map(harvest, [np.zeros(FEATURE_RATE, np.float32)] * num_workers)  # imports are not counted
        started = time.perf_counter()
        spent = pool.map(harvest, sounds, chunksize=1)
        seconds = time.perf_counter() - started
    return {
        "audio_seconds": sum(map(len, sounds)) / FEATURE_RATE,
        "seconds": seconds,
        "cpu_seconds": sum(spent),
    }


def cpu_seconds_of_children() -> float:
    """Return the processor time of all ended child processes and theirs."""
    used = os.times()
    return used.children_user + used.children_system


def harvest(audio: np.ndarray) -> float:
    """Run harvest on 16 kHz audio [T], a frame every 10 ms; returns the processor time it took."""
    import pyworld

    started = time.process_time()
    pyworld.harvest(audio.astype(np.float64), FEATURE_RATE, f0_floor=50.0, f0_ceil=1100.0, frame_period=10.0)
    return time.process_time() - started


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("preprocessing", __doc__)
    parser.add_argument("--source", type=Path, default=CORPORA / "kathleen", help="folder of recordings")
    parser.add_argument("--workers", type=whole_number, default=2, help="processes")
    parser.add_json()
    parser.add_argument("overrides", nargs="*", help="for preprocess.py, such as pitch=harvest")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the bar is missed."""
    options = parse(arguments)
    return run_program("preprocessing", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Measure both programs and print the table; return the exit code."""
    ours = measure_preprocess(options.source.resolve(), options.workers, options.overrides)
    theirs = measure_harvest(options.source.resolve(), options.workers)
    rows = []
    for name, item in (("preprocess.py, all features", ours), ("pyworld harvest alone", theirs)):
        speed = item["times_real_time"] = item["audio_seconds"] / item["seconds"]
        figures = (round(item[key], digits) for key, digits in FIGURES)
        rows.append([name, *figures, round(speed, 1)])
    emit(table(rows, [f"{options.workers} processes", "audio s", "took s", "CPU s", "x real time"]))
    emit(f"the same command again takes {ours['second_run_seconds']:.1f} s")
    reached = [Bar("times real time", ours["times_real_time"], BAR_TIMES_REAL_TIME, True)]
    show_bars(reached)
    write_figures(options, "preprocessing", {"preprocess": ours, "harvest": theirs, "bars": plain_bars(reached)})
    return 0 if all_reached(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
