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
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import count, new_file
from scripts.pipeline import ROOT
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio
from utils.console import emit, table
from utils.corpus.sources import find_sources
from utils.errors import DataError, WorkbenchError
from utils.files import atomic_write_json

CORPUS = ROOT.parent / "shared" / "corpora" / "kathleen"
BAR_TIMES_REAL_TIME = 15.0
HARVEST_SECONDS = 120.0  # of audio; harvest is slow


def measure_preprocess(source: Path, num_workers: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Run preprocess.py into a temporary folder.

    Returns:
        Seconds of audio, seconds of the whole program, and seconds of a second run that finds everything done.
    """
    with tempfile.TemporaryDirectory() as place:
        arguments = [f"dataset.source={source}", "dataset.name=benchmark", f"dataset.root={place}", "dataset.speaker=a"]
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
                report = json.loads((Path(place) / "benchmark" / "report.json").read_text(encoding="utf-8"))
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyworld's import speaks of setuptools
        import pyworld

    started = time.process_time()
    pyworld.harvest(audio.astype(np.float64), FEATURE_RATE, f0_floor=50.0, f0_ceil=1100.0, frame_period=10.0)
    return time.process_time() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table; returns 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=CORPUS, help="folder of recordings")
    parser.add_argument("--workers", type=count, default=2, help="processes")
    parser.add_argument("--json", type=new_file, default=None, help="write the figures here")
    parser.add_argument("overrides", nargs="*", help="for preprocess.py, such as pitch=harvest")
    options = parser.parse_args(arguments)
    try:
        ours = measure_preprocess(options.source.resolve(), options.workers, options.overrides)
        theirs = measure_harvest(options.source.resolve(), options.workers)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    rows = []
    for name, item in (("preprocess.py, all features", ours), ("pyworld harvest alone", theirs)):
        speed = item["times_real_time"] = item["audio_seconds"] / item["seconds"]
        rows.append(
            [
                name,
                round(item["audio_seconds"], 1),
                round(item["seconds"], 2),
                round(item["cpu_seconds"], 2),
                round(speed, 1),
            ]
        )
    emit(table(rows, [f"{options.workers} processes", "audio s", "took s", "CPU s", "x real time"]))
    passed = ours["times_real_time"] >= BAR_TIMES_REAL_TIME
    emit(f"bar {BAR_TIMES_REAL_TIME:g} x real time: {'reached' if passed else 'MISSED'}; "
         f"the same command again takes {ours['second_run_seconds']:.1f} s")  # fmt: skip
    if options.json is not None:
        atomic_write_json(
            options.json, {"preprocess": ours, "harvest": theirs, "bar": BAR_TIMES_REAL_TIME, "passed": passed}
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
