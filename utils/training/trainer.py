"""Lightning's trainer and its callbacks, as a configuration asks for them."""

import logging
import os
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from utils.config.train import OvertrainingSettings, TrainJob
from utils.errors import ConfigError
from utils.features.pitch.swift import builtin_tracker
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.evaluating import BackgroundEvaluation
from utils.training.callbacks.media import MediaLogger
from utils.training.callbacks.monitoring import RunMonitor
from utils.training.callbacks.overtraining import OvertrainingWatch
from utils.training.callbacks.profiling import UpdateProfiler
from utils.training.callbacks.progress import ProgressLine
from utils.training.callbacks.save_on_damage import SaveOnDamage
from utils.training.callbacks.stop_after_steps import StopAfterSteps
from utils.training.callbacks.stop_on_signal import StopOnSignal
from utils.training.checkpoint_files import AtomicCheckpointIO
from utils.training.criterion import best_from_step
from utils.training.devices import (
    choose_accelerator,
    choose_strategy,
    environment_plugins,
    first_device,
    keep_freed_memory,
)
from utils.training.listening import ListeningFolder
from utils.training.loggers import build_loggers
from utils.training.overtraining import OvertrainingRule
from utils.training.step_clock import StepClock


def build_trainer(
    job: TrainJob,
    run: Path,
    callbacks: list[Callback],
    checkpointing: BestAndLastCheckpoint,
    listeners: Sequence[Callback] = (),
) -> lightning.Trainer:
    """Make Lightning's trainer.

    Args:
        job: what is asked for.
        run: folder of the run.
        callbacks: that come first.
        checkpointing: saves the states.
        listeners: callbacks that hear of a validation when all others have seen it.
    Raises:
        ConfigError: if this machine cannot do what accelerator, devices and strategy ask for.
    """
    settings = job.trainer
    # who has blocks computed again is short of memory: that which is kept has gaps
    if first_device(job).type == "cpu" and not settings.recompute:
        keep_freed_memory()
    clock = StepClock()
    extra: list[Callback] = [
        StopAfterSteps(settings.steps),
        RunMonitor(job, run, clock, best_from_step=best_from_step(job)),
    ]
    extra += [MediaLogger(job.audio, builtin_tracker(), listening=ListeningFolder(run))] if settings.media else []
    extra += [ProgressLine(total_steps=settings.steps)] if settings.progress_bar else []
    extra += [UpdateProfiler(run, settings.profile_steps)] if settings.profile_steps else []
    judging = [BackgroundEvaluation(run, job, checkpointing)] if job.evaluation.mode != "off" else []
    ends = (StopOnSignal(checkpointing), SaveOnDamage(checkpointing))
    loggers = build_loggers(job, run)
    try:
        return lightning.Trainer(
            accelerator=choose_accelerator(job),
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=choose_strategy(job),
            plugins=[AtomicCheckpointIO(), *environment_plugins()],
            max_epochs=-1,
            max_steps=-1,  # StopAfterSteps decides: Lightning would count the updates of both networks
            max_time=timedelta(minutes=settings.max_minutes) if settings.max_minutes is not None else None,
            val_check_interval=settings.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=loggers,
            log_every_n_steps=0,  # RunMonitor does: Lightning counts batches, and others after a resume
            profiler=clock,
            detect_anomaly=settings.detect_anomaly,
            callbacks=[*callbacks, *extra, *listeners, checkpointing, *judging, *ends],
            enable_model_summary=False,
            enable_progress_bar=False,  # ours is ProgressLine
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        asked = ", ".join(f"trainer.{key}={getattr(settings, key)}" for key in ("accelerator", "devices", "num_nodes"))
        raise ConfigError(f"{asked} cannot be used here: {' '.join(str(error).split())}") from error


def build_overtraining_watch(settings: OvertrainingSettings) -> list[Callback]:
    """Return the callback that the group `overtraining` describes, none with mode off."""
    if settings.mode == "off":
        return []
    rule = OvertrainingRule(
        smooth=settings.smooth,
        patience=settings.patience,
        min_improvement=settings.min_improvement,
        plateau_patience=settings.plateau_patience,
        first_step=settings.first_step,
    )
    return [OvertrainingWatch(rule, settings.mode)]


def quieten_lightning() -> None:
    """Silence Lightning's advertising and advice that does not apply; warnings of our own stay."""
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if "SLURM_JOB_ID" not in os.environ:
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
