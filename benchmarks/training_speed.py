"""Measure the training engine: steps per second, what surrounds a step, several processes, memory.

    python -m benchmarks.training_speed [--part lite lightning processes memory] [--steps 12] [--json FILE]

lite       two threads, 16 clips of 1 s an update: steps per second, and the share of a step's time that is neither
           forward, backward nor optimizer (loading, logging, Lightning)
lightning  the same networks in a plain loop, in blocks that take turns with Lightning's
processes  two gloo processes of one thread each beside one process of one thread, the same batch
memory     peak resident memory of rvc_v2_48k (4 clips of 3 s): 32 bits, and bf16 with recomputed blocks

Recordings are synthetic: what they say does not change the time. Every figure is a median; the first steps are not
counted. GPU figures are printed where there is one.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

from benchmarks.options import count, new_file
from scripts.pipeline import ROOT
from utils.config.train import train_job
from utils.console import emit, table
from utils.files import atomic_write_json
from utils.memory import peak_bytes

PARTS = ("lite", "lightning", "processes", "memory")
WARM_UP = 3  # steps at the beginning of a block that are not counted
BAR_OUTSIDE = 0.05
BAR_LIGHTNING = 0.03
LITE = ["data.batch_size=16", "data.segment_frames=100"]
RVC = ["experiment=rvc_v2_48k", "data.batch_size=4", "data.segment_frames=300"]


def write_recordings(folder: Path, *, count: int, seconds: float) -> None:
    """Write buzzing sounds with pauses, loud enough to pass for speech."""
    rate = 48000
    times = np.arange(round(seconds * rate)) / rate
    for index in range(count):
        rng = np.random.default_rng(index)
        f0_hz = 120 + 40 * np.sin(2 * np.pi * 0.7 * times + index)
        phase = 2 * np.pi * np.cumsum(f0_hz) / rate
        buzz = sum(np.sin(k * phase) / k for k in range(1, 30))
        loud = 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * times)
        folder.mkdir(parents=True, exist_ok=True)
        sound = 0.05 * loud * (buzz + 0.1 * rng.standard_normal(len(times)))
        soundfile.write(folder / f"{index}.wav", sound.astype(np.float32), rate)


def prepare(place: Path, name: str, *overrides: str) -> None:
    """Run preprocess.py on the recordings."""
    words = [f"dataset.source={place / 'source'}", f"dataset.name={name}", f"dataset.root={place}", "dataset.speaker=a"]
    command = [sys.executable, "preprocess.py", *words, *overrides]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def measure(place: Path, overrides: Sequence[str], *, threads: int, processes: int = 1, **job: Any) -> dict[str, Any]:
    """Run the worker below in processes of its own; returns what the first one reports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(processes):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        if processes > 1:
            environment |= {
                "TORCHELASTIC_RUN_ID": "benchmark", "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
                "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }  # fmt: skip
        text = json.dumps({"overrides": list(overrides), "place": str(place), **job})
        command = [sys.executable, "-m", "benchmarks.training_speed", "--worker", text]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"error: a measuring process ended with {[process.returncode for process in running]}")
    result: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return result


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train a few steps with Lightning and, where asked, in a plain loop, in blocks that take turns."""
    from utils.training.checks import open_dataset
    from utils.training.trainer import quieten_lightning

    quieten_lightning()
    config = train_job([*job["overrides"], f"dataset.root={job['place']}"])
    store = open_dataset(config)
    found: dict[str, Any] = {"lightning": [], "inside": [], "plain": []}
    for _ in range(int(job.get("blocks", 1))):
        with tempfile.TemporaryDirectory() as run:
            periods, inside = lightning_block(config, store, Path(run), int(job["steps"]))
            found["lightning"] += periods
            found["inside"] += inside
            if job.get("plain"):
                found["plain"] += plain_block(config, store, Path(run), int(job["steps"]))
    found["peak_mb"] = peak_mb()
    return found


def lightning_block(config: Any, store: Any, run: Path, steps: int) -> tuple[list[float], list[float]]:
    """Return seconds from step to step, and seconds of each within the training step, of a run as train.py does it."""
    import pytorch_lightning as lightning

    from utils.training.assembly import build_data, build_training
    from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
    from utils.training.trainer import build_trainer

    class Clock(lightning.Callback):
        def __init__(self) -> None:
            self.starts: list[float] = []

        def on_train_batch_start(self, *_: Any) -> None:
            self.starts.append(time.perf_counter())

    clock = Clock()
    inside: list[float] = []
    module, data = build_training(config, store, run, fresh=True), build_data(config, store)
    for name in ("backward_within_memory", "_update"):
        setattr(module, name, timed(getattr(module, name), inside))
    checkpointing = BestAndLastCheckpoint(run / "checkpoints", save_every=10**9)
    trainer = build_trainer(config, run, [clock], checkpointing)
    trainer.fit(module, data)
    periods = np.diff(clock.starts).tolist()
    computing = [sum(pair) for pair in zip(inside[::2], inside[1::2], strict=True)]
    return periods[WARM_UP:steps], computing[WARM_UP:steps]


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return the function, which notes how long each call takes."""

    def call(*values: Any, **named: Any) -> Any:
        started = time.perf_counter()
        result = function(*values, **named)
        seconds.append(time.perf_counter() - started)
        return result

    return call


def plain_block(config: Any, store: Any, run: Path, steps: int) -> list[float]:
    """Return seconds from step to step of the same networks, losses and batches without Lightning."""
    import torch

    from models.updating import NetworkUpdate
    from utils.training.assembly import build_data, build_training

    module, data = build_training(config, store, run, fresh=True), build_data(config, store)
    optimizers, schedules = module.configure_optimizers()
    networks = [("generator", module.generator), ("discriminator", module.discriminator)]
    for (name, network), optimizer, schedule in zip(networks, optimizers, schedules, strict=True):
        assert network is not None
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        limit = module.clip_norm if name == "generator" else float("inf")
        module.updates[name] = NetworkUpdate(network, optimizer, schedule, clip_norm=limit, scaler=scaler)
    periods, batches = [], iter(data.train_dataloader())
    for _ in range(steps):
        started = time.perf_counter()
        batch = next(batches)
        batch = module.augmentation(batch) if module.augmentation is not None else batch
        module.backward_all(batch, is_adversarial=True)
        module._update(is_adversarial=True)
        periods.append(time.perf_counter() - started)
    return periods[WARM_UP:]


def peak_mb() -> float:
    """Return the largest resident memory of this process so far."""
    return peak_bytes() / 1e6


def rows_of(parts: Sequence[str], steps: int, place: Path, figures: dict[str, Any]) -> Iterator[list[object]]:
    """Measure part by part; yields rows of the table and fills the figures."""
    run = [f"trainer.steps={steps + 1}", f"trainer.validate_every={10**9}", "trainer.progress_bar=false",
           "trainer.media=false", "trainer.accelerator=cpu", "dataset.name=lite"]  # fmt: skip
    if "lite" in parts or "lightning" in parts:
        result = measure(place, [*run, *LITE], threads=2, steps=steps, blocks=3, plain="lightning" in parts)
        period, inside = median(result["lightning"]), median(result["inside"])
        if "lite" in parts:
            figures["lite"] = {"steps_per_second": 1 / period, "outside_share": 1 - inside / period}
            yield ["lite, 16 x 1 s, 2 threads", "steps/s", round(1 / period, 3), ""]
            yield ["  outside of the training step", "share", round(1 - inside / period, 4), f"<= {BAR_OUTSIDE}"]
        if "lightning" in parts:
            cost = period / median(result["plain"]) - 1
            figures["lightning"] = {"cost": cost, "plain_seconds": median(result["plain"]), "seconds": period}
            yield ["  Lightning against a plain loop", "time", f"{cost:+.4f}", f"<= {BAR_LIGHTNING}"]
    if "processes" in parts:
        one = measure(place, [*run, *LITE], threads=1, steps=steps)
        two = measure(place, [*run, *LITE, "trainer.devices=2"], threads=1, processes=2, steps=steps)
        gain = median(one["lightning"]) / median(two["lightning"])
        figures["processes"] = {"gain": gain, "efficiency": gain / 2}
        yield ["lite, 2 gloo processes against 1, a thread each", "efficiency", round(gain / 2, 3), ""]
    if "memory" in parts:
        short = ["dataset.name=rvc" if item == "dataset.name=lite" else item for item in run]
        short[0] = "trainer.steps=2"
        settings = {
            "32 bits": ["trainer.precision=32-true"],
            "bf16, blocks recomputed": ["trainer.precision=bf16-mixed", "trainer.recompute=true"],
        }
        peaks = {}
        for name, overrides in settings.items():
            peaks[name] = measure(place, [*short, *RVC, *overrides], threads=2, steps=2)["peak_mb"]
            yield [f"rvc_v2_48k, 4 x 3 s, {name}", "peak MB (CPU)", round(peaks[name]), ""]
        figures["memory"] = peaks


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table; returns 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--steps", type=count, default=12, help="steps of a block")
    parser.add_argument("--json", type=new_file, default=None, help="write the figures here")
    parser.add_argument("--worker", type=json.loads, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker is not None:
        emit(json.dumps(work(options.worker)))
        return 0
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_recordings(place / "source", count=6, seconds=10)
        prepare(place, "lite")
        if "memory" in options.part:
            prepare(place, "rvc", "audio=rvc_48k")
        rows = list(rows_of(options.part, options.steps, place, figures))
    emit(table(rows, ["what", "unit", "median", "bar"]))
    missed = [
        name
        for name, is_missed in (
            ("outside", figures.get("lite", {}).get("outside_share", 0) > BAR_OUTSIDE),
            ("lightning", figures.get("lightning", {}).get("cost", 0) > BAR_LIGHTNING),
        )
        if is_missed
    ]
    emit(f"bars: {'MISSED: ' + ', '.join(missed) if missed else 'reached'}")
    if options.json is not None:
        atomic_write_json(options.json, {"figures": figures, "missed": missed})
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
