"""Where the time of the updates goes, by operation."""

from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch.profiler import ProfilerActivity, profile, schedule

from utils.console import emit
from utils.files import atomic_write_text

SKIPPED, WARM_UP = 1, 2  # updates before the ones that are recorded: the first ones allocate and choose kernels
ROWS = 40
FILE = "profile.txt"


class UpdateProfiler(Callback):
    """Record operations of some updates and write a table of the most expensive ones.

    Args:
        run: folder that receives profile.txt.
        steps: updates that are recorded.
    """

    def __init__(self, run: Path, steps: int) -> None:
        self.run, self.steps = run, steps
        self._profile: profile | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin, in the first process."""
        if not trainer.is_global_zero:
            return
        on_gpu = pl_module.device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        plan = schedule(wait=SKIPPED, warmup=WARM_UP, active=self.steps, repeat=1)
        self._profile = profile(activities=activities, schedule=plan, on_trace_ready=self._write)
        self._profile.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Go on to the next update."""
        if self._profile is not None:
            self._profile.step()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End."""
        if self._profile is not None:
            self._profile.stop()

    def _write(self, recorded: profile) -> None:
        key = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        path = self.run / FILE
        atomic_write_text(path, recorded.key_averages().table(sort_by=key, row_limit=ROWS))
        emit(f"time by operation: {path}")
