"""What a run says about itself while it trains: rates, times, memory, weighted losses, hyper-parameters."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from models.adversarial import AdversarialTraining
from utils.config.train import TrainJob
from utils.memory import resident_bytes
from utils.training.criterion import CRITERION
from utils.training.csv_logger import CsvLogger
from utils.training.loggers import log_everywhere, remember_tracking
from utils.training.step_clock import StepClock

HYPER_PARAMETERS = (
    "audio",
    "model",
    "discriminator",
    "pretrained",
    "optim",
    "data",
    "augmentation",
    "retrieval",
    "loss",
    "overtraining",
)
MEGABYTE = 2**20


class RunMonitor(Callback):
    """Logs losses and what tells of the machine every `log_every` steps, and the best criterion after each validation.

    Lightning would log the losses after all callbacks, when the state of the step may be saved: a run that is killed in
    between would go on behind a row without them. And it counts batches, where one of a step may be the first of many.

    Args:
        job: of the run.
        run: its folder.
        clock: the trainer's profiler.
        best_from_step: the update from which on a state can be the best.
    """

    def __init__(self, job: TrainJob, run: Path, clock: StepClock, *, best_from_step: int = 0) -> None:
        self.job, self.run, self.clock = job, run, clock
        self.best_from_step = best_from_step
        self.log_every = job.trainer.log_every
        self.best: float | None = None
        self.best_step = 0
        self._marked_step = 0
        self._mark: tuple[float, ...] = ()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Continue the records of an interrupted run where it is resumed, and write down the hyper-parameters."""
        assert isinstance(pl_module, AdversarialTraining)
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, CsvLogger):
                logger.restart(pl_module.steps)
            elif isinstance(logger, TensorBoardLogger):
                _hide_later_events(logger, pl_module.steps)
                _write_hyper_parameters(logger, hyper_parameters(self.job))
            else:
                logger.log_hyperparams(hyper_parameters(self.job))
        remember_tracking(trainer.loggers, self.run)
        self._set_mark(pl_module.steps)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Log a step, each at most once."""
        assert isinstance(pl_module, AdversarialTraining)
        if not trainer.is_global_zero:
            return
        step = pl_module.steps
        if step % self.log_every == 0 and step > self._marked_step:
            values = self._rates(pl_module, step) | memory_figures(pl_module.device)
            values |= weighted_losses(trainer, pl_module) | losses(trainer)
            for name, optimizer in zip(("generator", "discriminator"), trainer.optimizers, strict=False):
                values[f"learning_rate/{name}"] = float(optimizer.param_groups[0]["lr"])
            log_everywhere(trainer, values, step)
            self._set_mark(step)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop the clock."""
        self.clock.pause()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the lowest criterion so far, if one was a number."""
        assert isinstance(pl_module, AdversarialTraining)
        value = trainer.callback_metrics.get(CRITERION)
        if value is None or trainer.sanity_checking:
            return
        step, first = pl_module.steps, self.best_from_step
        is_lowest = self.best is None or float(value) < self.best or self.best_step < first <= step
        if is_lowest and math.isfinite(float(value)):
            self.best, self.best_step = float(value), step
        if self.best is not None:
            log_everywhere(trainer, {"val/best_mel": self.best}, step)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Mark the run as finished for the table of hyper-parameters."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                from torch.utils.tensorboard.summary import hparams

                logger.experiment._get_file_writer().add_summary(hparams({}, {})[2])

    def state_dict(self) -> dict[str, Any]:
        """Return the best criterion for the checkpoint."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best criterion of an earlier part of the run."""
        if state_dict["best"] is not None and not math.isnan(state_dict["best"]):
            self.best, self.best_step = state_dict["best"], int(state_dict["best_step"])

    def _set_mark(self, step: int) -> None:
        self._marked_step = step
        self._mark = (time.perf_counter(), self.clock.fetching, self.clock.computing, self.clock.paused)

    def _rates(self, module: AdversarialTraining, step: int) -> dict[str, float]:
        now = (time.perf_counter(), self.clock.fetching, self.clock.computing, self.clock.paused)
        passed, fetching, computing, paused = (after - before for after, before in zip(now, self._mark, strict=True))
        seconds, steps = max(passed - paused, 1e-9), step - self._marked_step
        computing -= module.take_augmentation_seconds()
        return {
            "performance/steps_per_second": steps / seconds,
            "performance/data_wait_ms": 1000 * fetching / steps,
            "performance/outside_share": max(0.0, 1 - computing / seconds),
        }


def losses(trainer: lightning.Trainer) -> dict[str, float]:
    """Return the losses of the latest batch."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}


def weighted_losses(trainer: lightning.Trainer, module: AdversarialTraining) -> dict[str, float]:
    """Return the parts of the generator's loss as they are added: the raw ones times their weights."""
    raw = trainer.callback_metrics
    names = {name: f"train/generator/{name}" for name in module.loss_weights}
    return {
        f"train/generator_weighted/{name}": module.loss_weights[name] * float(raw[key])
        for name, key in names.items()
        if key in raw
    }


def memory_figures(device: torch.device) -> dict[str, float]:
    """Return resident memory of this process and, on a GPU, what tensors hold there now and at most, in MiB."""
    figures = {"memory/resident_mib": resident_bytes() / MEGABYTE}
    if device.type == "cuda":
        figures["memory/device_mib"] = torch.cuda.memory_allocated(device) / MEGABYTE
        figures["memory/device_peak_mib"] = torch.cuda.max_memory_allocated(device) / MEGABYTE
    return figures


def hyper_parameters(job: TrainJob) -> dict[str, float | str | bool]:
    """Return the settings that shape a voice as dotted keys with plain values."""
    plain = job.to_plain()
    chosen: dict[str, Any] = {name: plain[name] for name in HYPER_PARAMETERS}
    chosen["dataset"] = {"name": plain["dataset"]["name"]}
    chosen["trainer"] = {name: plain["trainer"][name] for name in ("steps", "precision")}
    chosen["seed"] = plain["seed"]
    return dict(_flatten(chosen))


def _flatten(node: dict[str, Any], prefix: str = "") -> list[tuple[str, float | str | bool]]:
    flat: list[tuple[str, float | str | bool]] = []
    for key, value in node.items():
        if isinstance(value, dict):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value if isinstance(value, bool | int | float | str) else str(value)))
    return flat


def _write_hyper_parameters(logger: TensorBoardLogger, values: dict[str, float | str | bool]) -> None:
    from torch.utils.tensorboard.summary import hparams

    # the table shows the newest point of these curves
    experiment, session, _ = hparams(values, {CRITERION: 0.0, "val/best_mel": 0.0})
    writer = logger.experiment._get_file_writer()
    writer.add_summary(experiment)
    writer.add_summary(session)


def _hide_later_events(logger: TensorBoardLogger, step: int) -> None:
    """Tell TensorBoard to forget what an interrupted run, or an earlier try, wrote beyond the step of the start."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    writer = logger.experiment._get_file_writer()
    # a restart is understood only after the version of the file has been told
    writer.add_event(Event(file_version="brain.Event:2"), step + 1)
    writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), step + 1)
