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
from torch import Tensor

from benchmarks.options import count, duration, new_file
from utils.audio.batch import VoiceBatch
from utils.config import AudioConfig
from utils.config.train import train_job
from utils.console import emit, table
from utils.corpus.bucketing import POOL_UPDATES
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.description import DATASET_FILE, DatasetDescription, FeatureDescription, SpeakerDescription
from utils.corpus.manifest import Clip, manifest_text
from utils.corpus.sampling import SegmentPlan
from utils.corpus.store import CorpusStore
from utils.errors import WorkbenchError
from utils.files import atomic_write_json, atomic_write_text
from utils.training.checkpoints import build_generator
from utils.training.losses import MultiResolutionMelLoss

BAR_RATIO = 10.0
BAR_MEGABYTES = 300.0
SPEAKERS = 243
CONTENT_DIM = 256
CONTENT_NAMES = ("content", "content_perturbed_0", "content_perturbed_1")
MEMORY_BATCHES = 600


def write_store(folder: Path, minutes: float, *, is_sparse: bool = False, seed: int = 0) -> Path:
    """Write a dataset of noise with clips of 1 to 12 s and return its folder.

    Args:
        folder: to make.
        minutes: of audio.
        is_sparse: leave holes in the files instead of noise: zeros that take no room on the disk.
        seed: of lengths and noise.
    """
    config = train_job([])
    audio = config.audio
    rng = np.random.default_rng(seed)
    total = round(minutes * 6000)
    clips: list[Clip] = []
    offset = 0
    while offset < total:
        frames = int(rng.integers(100, 1200))
        clips.append(_clip(len(clips), offset, frames))
        offset += frames
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        "waveform": ((offset * audio.hop_length,), "int16"),
        "f0_hz": ((offset,), "float32"),
        "loudness_db": ((offset,), "float32"),
        **dict.fromkeys(CONTENT_NAMES, ((offset, CONTENT_DIM), "float16")),
    }
    for name, (shape, dtype) in shapes.items():
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        target = np.lib.format.open_memmap(folder / "arrays" / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        if not is_sparse:
            for first in range(0, len(target), 1 << 16):
                part = target[first : first + (1 << 16)]
                part[...] = _noise(name, part.shape, rng)
        target.flush()
    atomic_write_text(folder / "manifest.jsonl", manifest_text(clips))
    files = {name: f"arrays/{name}.npy" for name in shapes} | {"manifest": "manifest.jsonl"}
    atomic_write_json(folder / DATASET_FILE, _description(audio, files).to_plain())
    return folder


def _clip(index: int, offset: int, frames: int) -> Clip:
    return Clip(
        id=f"{index:06d}",
        source=f"{index:06d}.wav",
        start_seconds=0.0,
        duration_seconds=frames / 100,
        num_frames=frames,
        frame_offset=offset,
        speaker=f"{index % SPEAKERS:03d}",
        split="val" if index % 20 == 19 else "train",
        checksum=f"{index:064d}",
    )


def _noise(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(shape, dtype=np.float32)
    scale = {"waveform": (0, 2000), "f0_hz": (150, 10), "loudness_db": (-30, 5)}.get(name, (0, 1))
    return scale[0] + scale[1] * noise


def _description(audio: AudioConfig, files: dict[str, str]) -> DatasetDescription:
    names = ("f0_hz", "loudness_db", *CONTENT_NAMES)
    return DatasetDescription(
        name="benchmark",
        audio=audio,
        speakers=tuple(SpeakerDescription(name=f"{index:03d}") for index in range(SPEAKERS)),
        features={name: FeatureDescription(dim=CONTENT_DIM if "content" in name else None) for name in names},
        files=files,
    )


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


class LiteConsumer:
    """Training of model=lite with its discriminator, without any framework around it.

    Args:
        dataset: for the sizes of content and speakers.
        batch: what it is trained on again and again.
    """

    def __init__(self, dataset: Path, batch: VoiceBatch) -> None:
        config = train_job(["model=lite"])
        self.generator = build_generator(config.model, CorpusStore.open(dataset).description)
        self.judge = config.discriminator.build()
        self.spectral = MultiResolutionMelLoss(sample_rate=config.audio.sample_rate)
        self.samples = config.loss.adversarial_frames * config.audio.hop_length
        self.optimizers = [torch.optim.AdamW(net.parameters(), lr=1e-5) for net in (self.generator, self.judge)]
        self.batch = batch
        self.is_half = torch.cpu._is_avx512_bf16_supported()

    def step(self) -> None:
        """Do one update of both networks."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_half):
            fake, real = self.generator(self.batch), self.batch.audio
            near, far = real[:, : self.samples], fake[:, : self.samples]
            both = self.judge(torch.cat([near, far.detach()]))
            halves = [score.float().chunk(2) for score in both.scores]
            judged = torch.stack([(1 - good).square().mean() + bad.square().mean() for good, bad in halves]).mean()
        judged.backward()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_half):
            self.judge.requires_grad_(False)
            output = self.judge(far)
            self.judge.requires_grad_(True)
            terms: list[Tensor] = [15.0 * self.spectral(fake, real)]
            terms += [(1 - score.float()).square().mean() for score in output.scores]
            for layers, wanted in zip(output.features, both.features, strict=True):
                terms += [
                    (layer.float() - target[: len(layer)].detach().float()).abs().mean()
                    for layer, target in zip(layers, wanted, strict=True)
                ]
        torch.stack(terms).sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def clips_per_second(self, seconds: float) -> float:
        """Return how many clips are used up; the first update is not counted."""
        self.step()
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            self.step()
            count += len(self.batch.audio)
        return count / (time.perf_counter() - started)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables; returns 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=None, help="folder of a prepared dataset")
    parser.add_argument("--workers", type=count, default=2, help="loading processes")
    parser.add_argument("--batch", type=count, default=16, help="clips in a batch")
    parser.add_argument("--seconds", type=duration, default=5.0, help="length of each measurement")
    parser.add_argument("--json", type=new_file, default=None, help="write the figures here")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as place:
            result = measure(options, Path(place))
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    show(result)
    if options.json is not None:
        atomic_write_json(options.json, result)
    return 0 if result["passed"] else 1


def measure(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Take all measurements; files go into a temporary folder."""
    dataset = options.dataset or write_store(place / "dense", 10.0)
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
    small, large = (write_store(place / str(size), size, is_sparse=True) for size in (10, 600))
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
        "bars": {"ratio": BAR_RATIO, "more_megabytes": BAR_MEGABYTES},
        "passed": ratio >= BAR_RATIO and more["resident"] <= BAR_MEGABYTES,
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
    emit(f"bars: {BAR_RATIO:g} x lite, {BAR_MEGABYTES:g} MB more for ten hours: "
         f"{'reached' if result['passed'] else 'MISSED'}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
