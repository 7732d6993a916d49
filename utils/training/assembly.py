"""Data, networks, losses and trainer of a run, put together as its configuration says."""

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from models.adversarial import AdversarialTraining
from utils.config import AudioConfig
from utils.config.train import OvertrainingSettings, TrainJob
from utils.console import emit
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.sampling import segments_per_epoch
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval, build_codebook, entries_per_speaker
from utils.files import sha256_of_json
from utils.training.batch_augmentation import BatchAugmentation
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.media import MediaLogger
from utils.training.callbacks.monitoring import RunMonitor
from utils.training.callbacks.overtraining import OvertrainingWatch
from utils.training.callbacks.progress import ProgressLine
from utils.training.callbacks.stop_after_steps import StopAfterSteps
from utils.training.callbacks.stop_on_signal import StopOnSignal
from utils.training.checkpoint_files import AtomicCheckpointIO
from utils.training.checkpoints import (
    CODEBOOK_FILE,
    build_generator,
    codebook_origin,
    read_codebook,
    save_codebook,
)
from utils.training.devices import (
    choose_precision,
    choose_strategy,
    environment_plugins,
    first_device,
    is_first_process,
    keep_freed_memory,
)
from utils.training.loggers import build_loggers
from utils.training.losses import MelDistance, MultiResolutionMelLoss, PublishedMelLoss
from utils.training.optimizers import build_optimizer, prepare_networks
from utils.training.overtraining import OvertrainingRule
from utils.training.pretrained import load_pretrained
from utils.training.schedules import with_warmup
from utils.training.step_clock import StepClock

CODEBOOK_FRAMES = 60_000  # frames of a speaker that the codebook's clustering looks at


def best_from_step(job: TrainJob) -> int:
    """Return the update from which on a state can be the best: a discriminator that joins raises the criterion."""
    return job.loss.adversarial_start if job.discriminator else 0


def build_training(job: TrainJob, store: CorpusStore, run: Path, *, fresh: bool) -> AdversarialTraining:
    """Build networks, losses and augmentation; a fresh run starts from pretrained weights where configured."""
    optimizer = build_optimizer(job.optim, choose_precision(job))
    generator = build_generator(job.model, store.description)
    discriminator = job.discriminator.build() if job.discriminator else None
    if fresh:
        starts: tuple[tuple[str, torch.nn.Module | None, str | None], ...] = (
            ("generator", generator, job.pretrained.generator),
            ("discriminator", discriminator, job.pretrained.discriminator),
        )
        for name, network, file in starts:
            if file and network is not None:
                note = load_pretrained(
                    network,
                    file,
                    f"pretrained.{name}",
                    store.description,
                    speakers=job.pretrained.speakers,
                    fresh_posterior=job.pretrained.fresh_posterior,
                )
                if is_first_process():
                    emit(note)
    if job.trainer.recompute and not generator.recompute_blocks():
        raise ConfigError(f"trainer.recompute=true: {job.model.target} has no blocks that can be computed again")
    prepare_networks(job.trainer, generator, discriminator)
    changes = job.augmentation.build()
    augmentation = BatchAugmentation(
        prepare_codebook(job, store, run, fresh=fresh),
        retrieval_share=job.retrieval.training_share,
        gain_down_db=changes.gain_down_db,
        gain_up_db=changes.gain_up_db,
        seed=job.seed,
    )
    return AdversarialTraining(
        generator=generator,
        discriminator=discriminator,
        spectral_loss=build_spectral_loss(job.loss.objective, job.audio),
        validation_loss=MelDistance(job.audio),
        optimizer=optimizer,
        schedule=learning_rate_factor(job, steps_per_epoch(job, store)),
        loss_weights=dict(job.loss.weights),
        objective=job.loss.objective,
        augmentation=augmentation,
        accumulate=job.optim.accumulate,
        clip_norm=job.optim.clip_norm,
        precision=choose_precision(job),
        fit_memory=job.trainer.fit_memory,
        ema_decay=job.optim.ema_decay,
        adversarial_start=job.loss.adversarial_start,
        adversarial_frames=job.loss.adversarial_frames,
        seed=job.seed,
    )


def build_spectral_loss(objective: str, audio: AudioConfig) -> torch.nn.Module:
    """Return the spectral loss that belongs to an objective."""
    return PublishedMelLoss(audio) if objective == "hifigan" else MultiResolutionMelLoss(sample_rate=audio.sample_rate)


def learning_rate_factor(job: TrainJob, epoch_steps: int = 1) -> Callable[[int], float]:
    """Return the factor of the learning rate as a function of the step: the rise, then the group optim/schedule."""
    schedule = job.optim.schedule.build()
    return with_warmup(schedule, warmup_steps=job.optim.warmup_steps, epoch_steps=epoch_steps)


def steps_per_epoch(job: TrainJob, store: CorpusStore) -> int:
    """Return after how many steps as many segments have been seen as fit into the training clips."""
    segments = segments_per_epoch([clip.num_frames for clip in store.split("train")], job.data.segment_frames)
    return max(1, math.ceil(segments / job.data.batch_size))


def prepare_codebook(job: TrainJob, store: CorpusStore, run: Path, *, fresh: bool) -> CodebookRetrieval | None:
    """Return the codebook of the run, made anew where it is a new run's or lost; the first process writes it.

    Each process that a cluster starts makes it for itself: they meet only when the training begins.
    """
    path, seed = run / CODEBOOK_FILE, job.seed
    size = entries_per_speaker(job.retrieval.codebook_size, len(store.speakers))
    if not size:
        if fresh and is_first_process():
            path.unlink(missing_ok=True)
        return None if fresh else read_codebook(run)
    origin = sha256_of_json([asdict(store.description.content), dict(store.description.files), size, seed])
    if path.is_file() and (not fresh or codebook_origin(run) == origin):
        return read_codebook(run)
    codebook = build_codebooks(store, size, seed=seed)
    if is_first_process():
        save_codebook(run, codebook, origin)
    return CodebookRetrieval(codebook)


def renew_codebook(job: TrainJob, store: CorpusStore, run: Path, module: AdversarialTraining) -> None:
    """Give a run that goes on with other settings or data the codebook that belongs to them, if it is another one."""
    assert isinstance(module.augmentation, BatchAugmentation)
    module.augmentation.retrieval = prepare_codebook(job, store, run, fresh=True)


def build_codebooks(store: CorpusStore, size: int, *, seed: int) -> torch.Tensor:
    """Cluster each speaker's training content into one codebook; returns [S, K, D]."""
    books = []
    for name in store.speakers:
        clips = [clip for clip in store.split("train") if clip.speaker == name]
        frames = store.sample_frames("content", clips, CODEBOOK_FRAMES, seed=seed)
        books.append(build_codebook(torch.from_numpy(frames), size, seed=seed))
    most = max(len(book) for book in books)
    # speakers with fewer vectors repeat theirs: a repeated entry changes a blend of neighbours, not its meaning
    return torch.stack([book.repeat(-(-most // len(book)), 1)[:most] for book in books])


def build_data(job: TrainJob, store: CorpusStore) -> VoiceDataModule:
    """Make the data module that the configuration describes."""
    return VoiceDataModule(
        dataset=store.path,
        batch_size=job.data.batch_size,
        segment_frames=job.data.segment_frames,
        num_workers=job.data.num_workers,
        seed=job.seed,
        perturbed_share=job.data.perturbed_share,
        val_segment_frames=job.data.val_segment_frames,
        speaker_weights=job.data.speaker_weights,
        augmentation=job.augmentation.build(),
        bucketing=job.data.bucketing,
        device_cache=job.data.device_cache,
    )


def build_trainer(
    job: TrainJob, run: Path, callbacks: list[Callback], checkpointing: BestAndLastCheckpoint
) -> lightning.Trainer:
    """Make Lightning's trainer.

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
    extra += [MediaLogger(job.audio, builtin_tracker())] if settings.media else []
    extra += [ProgressLine(total_steps=settings.steps)] if settings.progress_bar else []
    loggers = build_loggers(job, run)
    try:
        return lightning.Trainer(
            accelerator=settings.accelerator,
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
            log_every_n_steps=settings.log_every,
            profiler=clock,
            callbacks=[*callbacks, *extra, checkpointing, StopOnSignal(checkpointing)],
            enable_model_summary=False,
            enable_progress_bar=False,  # ours is ProgressLine
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        asked = ", ".join(f"trainer.{key}={getattr(settings, key)}" for key in ("accelerator", "devices", "num_nodes"))
        raise ConfigError(f"{asked} cannot be used here: {' '.join(str(error).split())}") from error


def build_watch(settings: OvertrainingSettings) -> list[Callback]:
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
