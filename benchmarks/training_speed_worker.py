"""A process of benchmarks/training_speed.py: it trains a few steps and says how long each took.

python -m benchmarks.training_speed_worker '{"overrides": [...], "root": "datasets", "steps": 12}'
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch

from models.updating import NetworkUpdate
from utils.config.train import TrainJob, train_job
from utils.console import emit
from utils.corpus.store import CorpusStore
from utils.memory import peak_bytes
from utils.training.assembly import build_data, build_training
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.checks import open_dataset
from utils.training.trainer import build_trainer, quieten_lightning

WARM_UP = 3  # steps at the beginning of a block that are not counted


class Clock(lightning.Callback):
    """Notes when each batch begins."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """Note the time."""
        self.starts.append(time.perf_counter())


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Train a few steps with Lightning and, where asked, in a plain loop, in blocks that take turns."""
    quieten_lightning()
    job = train_job([*request["overrides"], f"dataset.root={request['root']}"])
    store = open_dataset(job)
    steps = int(request["steps"])
    found: dict[str, Any] = {"lightning": [], "inside": [], "plain": []}
    for _ in range(int(request.get("blocks", 1))):
        with tempfile.TemporaryDirectory() as run:
            periods, inside = lightning_block(job, store, Path(run), steps)
            found["lightning"] += periods
            found["inside"] += inside
            if request.get("plain"):
                found["plain"] += plain_block(job, store, Path(run), steps)
    found["peak_mb"] = peak_bytes() / 1e6
    return found


def lightning_block(job: TrainJob, store: CorpusStore, run: Path, steps: int) -> tuple[list[float], list[float]]:
    """Return seconds from step to step, and seconds of each within the training step, of a run as train.py does it."""
    clock = Clock()
    inside: list[float] = []
    module, data = build_training(job, store, run, fresh=True), build_data(job, store)
    for name in ("backward_within_memory", "_update"):
        setattr(module, name, timed(getattr(module, name), inside))
    checkpointing = BestAndLastCheckpoint(run / "checkpoints", save_every=10**9)
    trainer = build_trainer(job, run, [clock], checkpointing)
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


def plain_block(job: TrainJob, store: CorpusStore, run: Path, steps: int) -> list[float]:
    """Return seconds from step to step of the same networks, losses and batches without Lightning."""
    module, data = build_training(job, store, run, fresh=True), build_data(job, store)
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


if __name__ == "__main__":
    emit(json.dumps(work(json.loads(sys.argv[1]))))
