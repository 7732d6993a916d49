"""Measure how fast training clips are loaded, beside what model=lite consumes, and how much memory that takes.

    python -m benchmarks.data_loading [--dataset FOLDER] [--workers 2] [--batch 16] [--seconds 5] [--json FILE]

Without --dataset a dataset of ten minutes of noise is written, 243 speakers, 24 kHz. Cold means that the kernel was
told to forget the files; warm is the same segments once more. What lite consumes is measured in a plain loop over one
batch in memory, generator and discriminator, between the loaders' turns. Memory is compared between datasets of ten
minutes and of ten hours (files with holes, which are read like others). Padding is that of 64 updates over the clips of
the dataset.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.lite_consumer import LiteConsumer
from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.synthetic_dataset import write_store
from utils.audio.batch import VoiceBatch
from utils.command_line import positive_number, run_program, whole_number
from utils.config.train import train_job
from utils.console import emit, table
from utils.corpus.bucketing import POOL_UPDATES
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.sampling import SegmentPlan
from utils.corpus.store import CorpusStore

BAR_RATIO = 10.0
BAR_MEGABYTES = 300.0
MEMORY_BATCHES = 600


def loader_of(dataset: Path, batch_size: int, num_workers: int, start_step: int = 0) -> Iterator[VoiceBatch]:
    """Return the batches that train.py would load with its defaults."""
    config = train_job([])
    data = VoiceDataModule(
        CorpusStore.open(dataset),
        batch_size=batch_size,
        segment_frames=config.data.segment_frames,
        num_workers=num_workers,
        seed=1,
        perturbed_share=config.data.perturbed_share,
        val_segment_frames=config.data.val_segment_frames,
    )
    data.start_step = start_step
    return iter(data.train_dataloader())


def measure_loading(dataset: Path, batch_size: int, num_workers: int, seconds: float) -> float:
    """Return clips per second, the start of the workers not counted."""
    loader = loader_of(dataset, batch_size, num_workers)
    next(loader)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        count += len(next(loader).audio)
    rate = count / (time.perf_counter() - started)
    del loader
    gc.collect()
    return rate


def forget(dataset: Path) -> None:
    """Tell the kernel to drop the dataset's pages."""
    for path in (dataset / "arrays").iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def padding_shares(dataset: Path, batch_size: int) -> list[dict[str, Any]]:
    """Return, for lengths of segments, the share of training frames that are padding with and without buckets.

    Without buckets clips are padded to the segment, whole clips to the longest of their update.
    """
    frames = np.array([clip.num_frames for clip in CorpusStore.open(dataset).split("train")])
    rows = []
    for segment in (100, 300, 600, None):
        plan = SegmentPlan(frames, np.ones(len(frames)), segment_frames=segment, seed=1, bucket_size=batch_size)
        segments = [plan.segment(number) for number in range(POOL_UPDATES * batch_size)]
        used, padded = sum(segment.frames for segment in segments), sum(segment.padded_frames for segment in segments)
        plain = frames[plan.clips(np.arange(len(segments)))].reshape(-1, batch_size)
        longest = plain.max(axis=1).sum() * batch_size if segment is None else segment * plain.size
        kept = (plain if segment is None else np.minimum(plain, segment)).sum()
        rows.append({"segment_frames": segment, "plain": float(1 - kept / longest), "bucketed": 1 - used / padded})
    return rows


def resident_megabytes(process: int | str = "self") -> dict[str, float]:
    """Return private (anonymous) and resident memory of a process; resident counts mapped files too."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    kilobytes = {
        key: float(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }
    return {"private": kilobytes["RssAnon"] / 1e3, "resident": kilobytes["VmRSS"] / 1e3}


def measure_memory(dataset: Path, batch_size: int, num_workers: int) -> dict[str, float]:
    """Return the highest sums over this process and its workers while segments are loaded."""
    loader = loader_of(dataset, batch_size, num_workers)
    highest = {"private": 0.0, "resident": 0.0}
    for number in range(MEMORY_BATCHES):
        next(loader)
        if number % 20 == 0:
            here = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text("ascii").split()
            parts = [resident_megabytes(process) for process in ("self", *here)]
            highest = {name: max(value, sum(part[name] for part in parts)) for name, value in highest.items()}
    del loader
    gc.collect()
    return highest


def bars(result: dict[str, Any]) -> list[Bar]:
    """Return the promised figures beside those measured."""
    return [
        Bar("clips loaded, times what lite consumes", result["ratio"], BAR_RATIO, True),
        Bar("MB more for ten hours than for ten minutes", result["more_megabytes"]["resident"], BAR_MEGABYTES, False),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("data_loading", __doc__)
    parser.add_argument("--dataset", type=Path, help="folder of a prepared dataset; without it one of noise is written")
    parser.add_argument("--workers", type=whole_number, default=2, help="loading processes")
    parser.add_argument("--batch", type=whole_number, default=16, help="clips in a batch")
    parser.add_argument("--seconds", type=positive_number, default=5.0, help="length of each measurement")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a bar is missed."""
    options = parse(arguments)
    return run_program("data_loading", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the tables; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    reached = bars(result)
    show(result)
    show_bars(reached)
    write_figures(options, "data_loading", {**result, "bars": plain_bars(reached)})
    return 0 if all_reached(reached) else 1


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Take all measurements; files go into a temporary folder."""
    dataset = options.dataset or write_store(scratch / "dense", 10.0)
    batch = next(loader_of(dataset, options.batch, 0))
    lite = LiteConsumer(dataset, batch)
    consumed, loaded = [], []
    for workers in (0, options.workers):
        for is_cold in (True, False):
            if is_cold:
                forget(dataset)
            rate = measure_loading(dataset, options.batch, workers, options.seconds)
            loaded.append({"workers": workers, "is_cold": is_cold, "clips_per_second": rate})
        consumed.append(lite.clips_per_second(options.seconds))
    del lite
    small, large = (write_store(scratch / str(size), size, is_sparse=True) for size in (10, 600))
    memory = {name: measure_memory(path, options.batch, options.workers) for name, path in
              (("ten minutes", small), ("ten hours", large))}  # fmt: skip
    lite_rate = float(np.median(consumed))
    ratio = min(item["clips_per_second"] for item in loaded if item["workers"] == options.workers) / lite_rate
    more = {name: memory["ten hours"][name] - memory["ten minutes"][name] for name in ("private", "resident")}
    return {
        "batch": options.batch,
        "segment_seconds": batch.f0_hz.shape[1] / 100,
        "threads": torch.get_num_threads(),
        "loaded": loaded,
        "lite_clips_per_second": lite_rate,
        "ratio": ratio,
        "padding": padding_shares(dataset, options.batch),
        "memory_megabytes": memory,
        "more_megabytes": more,
    }


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    lite = result["lite_clips_per_second"]
    rows = [
        [f"{item['workers']} workers, {'cold' if item['is_cold'] else 'warm'}", round(item["clips_per_second"], 1),
         round(item["clips_per_second"] / lite, 1)]
        for item in result["loaded"]
    ]  # fmt: skip
    rows.append([f"model=lite consumes ({result['threads']} threads)", round(lite, 1), 1.0])
    emit(table(rows, [f"clips of {result['segment_seconds']:g} s, batch {result['batch']}", "clips/s", "x lite"]))
    padding = [
        [item["segment_frames"] or "whole clips", f"{item['plain']:.1%}", f"{item['bucketed']:.1%}"]
        for item in result["padding"]
    ]
    emit(table(padding, ["segment_frames", "padding", "padding with buckets"]))
    memory = result["memory_megabytes"]
    emit(table([[name, round(item["private"]), round(item["resident"])] for name, item in memory.items()],
               ["all processes, MB", "private", "resident with mapped files"]))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
