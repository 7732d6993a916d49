"""Say after the first updates what a training will take."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, Timer

from models.adversarial import AdversarialTraining
from utils.config.train import TrainJob
from utils.console import emit
from utils.memory import available_bytes, resident_bytes
from utils.training.callbacks.progress import clear_progress
from utils.training.forecast import Forecast, watched_like

FIRST_UPDATES, UPDATES = 10, 50  # the first ones are slower: caches, kernels, files


class CostForecast(Callback):
    """Tells after 50 updates when the run ends, when trainings like it stop gaining, and what memory is left.

    Args:
        job: of the run.
        run: its folder.
        minutes: of recordings that are trained on.
    """

    def __init__(self, job: TrainJob, run: Path, minutes: float) -> None:
        self.job, self.run, self.minutes = job, run, minutes
        self._begun = 0
        self._mark = self._pause = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count from here, also in a run that goes on."""
        self._begun = _module(pl_module).steps

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop the watch."""
        self._pause = time.perf_counter()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Let it go on."""
        if self._pause:
            self._mark += time.perf_counter() - self._pause
            self._pause = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Begin to measure, and tell."""
        module = _module(pl_module)
        done = module.steps - self._begun
        if done == FIRST_UPDATES:
            self._mark = time.perf_counter()
        elif done == UPDATES and trainer.is_global_zero:
            seconds = max(time.perf_counter() - self._mark, 1e-9)
            self._tell(trainer, module, (UPDATES - FIRST_UPDATES) / seconds)

    def _tell(self, trainer: lightning.Trainer, module: AdversarialTraining, rate: float) -> None:
        settings, step = self.job.trainer, module.steps
        end_seconds, ends_by = max(0.0, settings.steps - step) / rate, f"trainer.steps={settings.steps}"
        timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
        left = min((timer.time_remaining() or 0.0 for timer in timers), default=None)
        if left is not None and left < end_seconds:
            end_seconds, ends_by = max(0.0, left), f"trainer.max_minutes={settings.max_minutes}"
        name = str(self.job.model.target).rpartition(".")[2]
        alike = watched_like(name, self.minutes, is_from_base=self.job.pretrained.generator is not None)
        used, free, whose = memory_of(module.device)
        forecast = Forecast(
            step, rate, end_seconds, ends_by,
            alike.updates if alike else None,
            max(0.0, alike.updates - step) / rate if alike else None,
            alike.minutes if alike else None,
            alike.source if alike else None,
            used, free, whose,
        )  # fmt: skip
        forecast.write(self.run)
        clear_progress(trainer)
        for what, how_much in forecast.lines:
            emit(f"forecast: {what}: {how_much}")


def memory_of(device: torch.device) -> tuple[int, int, str]:
    """Return bytes in use, bytes that are free, and of what: the GPU, or this machine."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return torch.cuda.max_memory_reserved(device), int(free), "the GPU"
    return resident_bytes(), available_bytes(), "this machine"


def _module(module: lightning.LightningModule) -> AdversarialTraining:
    assert isinstance(module, AdversarialTraining)
    return module
