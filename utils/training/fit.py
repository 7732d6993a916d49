"""Train a voice: put data, networks, losses and Lightning together as the configuration says."""

import logging
import math
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from models.adversarial import AdversarialTraining
from utils.audio.frames import FRAME_RATE
from utils.config import AudioConfig, audio_config, check_range, instantiate, require
from utils.console import emit, table
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.pitch.swift import SwiftPitch
from utils.features.retrieval import build_codebook
from utils.files import atomic_write_json, atomic_write_text
from utils.training.augmentation import BatchAugmentation
from utils.training.callbacks import HistoryRecorder, RunPayload, StopAfterSteps
from utils.training.checkpoints import (
    CODEBOOK_FILE,
    build_generator,
    load_pretrained,
    read_checkpoint,
    read_codebook,
    require_same_networks,
    save_codebook,
)
from utils.training.loggers import build_loggers
from utils.training.losses import MelDistance, MultiResolutionMelLoss, PublishedMelLoss
from utils.training.media import MediaLogger
from utils.training.monitoring import RunMonitor, StepClock
from utils.training.optimizers import build_optimizer, prepare_networks, require_same_optimizers
from utils.training.overtraining import build_watch
from utils.training.progress import ProgressLine
from utils.training.schedules import with_warmup

log = logging.getLogger(__name__)
OBJECTIVES = ("balanced", "hifigan")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
CODEBOOK_FRAMES = 60_000  # frames of a speaker that the codebook's clustering looks at


def train(config: DictConfig) -> Path:
    """Train or resume a run and return its folder.

    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run.
    """
    store = open_dataset(config)
    check_training_values(config)
    watch = build_watch(config)
    run = run_folder(config)
    resume_from = find_resume(config, run)
    quieten_lightning()
    lightning.seed_everything(int(config.seed), workers=True, verbose=False)
    config_yaml = OmegaConf.to_yaml(config, resolve=True)
    history = HistoryRecorder()
    trainer = build_trainer(config, run, [history, *watch, RunPayload(config_yaml, store.info)])
    module = build_training(config, store, run, fresh=resume_from is None)
    data = build_data(config, store)
    if resume_from is not None:
        content = read_checkpoint(resume_from)
        require_same_networks(content, resume_from, module.state_dict(), store.info)
        networks = [network for network in (module.generator, module.discriminator) if network is not None]
        require_same_optimizers(content, resume_from, module.make_optimizer, networks)
        data.start_step = int(content["state_dict"]["steps_done"]) * int(config.optim.accumulate)
    atomic_write_text(run / "config.yaml", config_yaml)
    if trainer.is_global_zero:
        announce(config, store, module, run, resume_from)
    started = time.monotonic()
    trainer.fit(module, data, ckpt_path=str(resume_from) if resume_from else None, weights_only=True)
    if not history.rows or history.rows[-1]["step"] != module.steps:
        validate_and_keep_best(trainer, module, data, history)
    if trainer.is_global_zero:
        report(run, history, module, time.monotonic() - started)
    return run


def open_dataset(config: DictConfig) -> CorpusStore:
    """Open the prepared dataset and check that the audio group is the one it was made with."""
    name = require(config, "dataset.name", "python train.py dataset.name=<name>   (made by python preprocess.py)")
    folder = Path(config.dataset.root) / str(name)
    if not (folder / "dataset.json").is_file():
        known = sorted(path.parent.name for path in Path(config.dataset.root).glob("*/dataset.json"))
        raise ConfigError(
            f"dataset.name={name} is not prepared ({folder} has no dataset.json); known: {', '.join(known) or 'none'}; "
            f"type: python preprocess.py dataset.source=<folder> dataset.name={name}"
        )
    store = CorpusStore.open(folder)
    audio = audio_config(config.audio)
    if store.audio != audio:
        raise ConfigError(
            f"audio.sample_rate={audio.sample_rate}, n_fft={audio.n_fft} differ from dataset {name} "
            f"({store.audio.sample_rate}, {store.audio.n_fft}); choose the audio group that it was prepared with"
        )
    return store


def check_training_values(config: DictConfig) -> None:
    """Refuse values out of range, naming the key and what is allowed."""
    check_range("trainer.steps", config.trainer.steps, 1)
    check_range("trainer.validate_every", config.trainer.validate_every, 1)
    check_range("trainer.log_every", config.trainer.log_every, 1)
    check_range("data.batch_size", config.data.batch_size, 1)
    check_range("data.segment_frames", config.data.segment_frames, 20)
    check_range("data.val_segment_frames", config.data.val_segment_frames, 20)
    check_range("data.num_workers", config.data.num_workers, 0)
    check_range("data.perturbed_share", config.data.perturbed_share, 0, 1)
    check_range("retrieval.codebook_size", config.retrieval.codebook_size, 0, 65536)
    check_range("retrieval.training_share", config.retrieval.training_share, 0, 1)
    check_range("optim.accumulate", config.optim.accumulate, 1)
    check_range("optim.ema_decay", config.optim.ema_decay, 0, 0.99999)
    check_range("optim.clip_norm", config.optim.clip_norm, 1e-6)
    check_range("optim.warmup_steps", config.optim.warmup_steps, 0)
    learning_rate_factor(config)
    check_range("loss.adversarial_start", config.loss.adversarial_start, 0)
    check_range("loss.adversarial_frames", config.loss.adversarial_frames, 0)
    check_range("seed", config.seed, 0, 2**32 - 1)
    if config.loss.objective not in OBJECTIVES:
        raise ConfigError(f"loss.objective={config.loss.objective} is unknown; allowed: {', '.join(OBJECTIVES)}")
    if config.trainer.precision not in PRECISIONS:
        raise ConfigError(f"trainer.precision={config.trainer.precision} is unknown; allowed: {', '.join(PRECISIONS)}")
    if config.model.sample_rate != config.audio.sample_rate:
        raise ConfigError(
            f"model.sample_rate={config.model.sample_rate} must be audio.sample_rate={config.audio.sample_rate}; "
            "choose another audio=... group instead"
        )
    if config.trainer.max_minutes is not None:
        check_range("trainer.max_minutes", config.trainer.max_minutes, 0.01)


def run_folder(config: DictConfig) -> Path:
    """Return the folder of the run; runs of a sweep get the number of their job."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    name = config.run.name or f"{config.dataset.name}_{str(config.model._target_).rsplit('.', 1)[-1].lower()}"
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        name = f"{name}_{HydraConfig.get().job.num}"
    return Path(config.run.root) / str(name)


def find_resume(config: DictConfig, run: Path) -> Path | None:
    """Return the checkpoint to continue from, or None for a new run; never overwrites a run unasked."""
    checkpoints = run / "checkpoints"
    has_any = checkpoints.is_dir() and any(checkpoints.glob("*.ckpt"))
    if config.resume is None:
        if has_any:
            words = f"{run} already holds a trained run"
            raise ConfigError(f"{words}; type resume=last to continue it or run.name=<new name>")
        return None
    path = checkpoints / f"{config.resume}.ckpt" if "/" not in str(config.resume) else Path(str(config.resume))
    if not path.is_file():
        words = f"resume={config.resume}: {path} does not exist"
        raise ConfigError(f"{words}; allowed: last, best or a path of a checkpoint")
    return path


def build_training(config: DictConfig, store: CorpusStore, run: Path, *, fresh: bool) -> AdversarialTraining:
    """Build networks, losses and augmentation; a fresh run starts from pretrained weights where configured."""
    audio = audio_config(config.audio)
    optimizer = build_optimizer(config, choose_precision(str(config.trainer.precision)))
    generator = build_generator(config, store.info)
    discriminator = instantiate(config.discriminator, "discriminator") if config.discriminator.get("_target_") else None
    if fresh:
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if config.pretrained[name] and network is not None:
                emit(
                    load_pretrained(
                        network,
                        str(config.pretrained[name]),
                        f"pretrained.{name}",
                        store.info,
                        speakers=config.pretrained.speakers,
                        fresh_posterior=bool(config.pretrained.fresh_posterior),
                    )
                )
    prepare_networks(config, generator, discriminator)
    prepare_codebook(config, store, run, fresh=fresh)
    augmentation = BatchAugmentation(
        read_codebook(run),
        retrieval_share=config.retrieval.training_share,
        gain_down_db=config.data.gain_down_db,
        gain_up_db=config.data.gain_up_db,
        seed=int(config.seed),
    )
    return AdversarialTraining(
        generator=generator,
        discriminator=discriminator,
        spectral_loss=build_spectral_loss(str(config.loss.objective), audio),
        validation_loss=MelDistance(audio),
        optimizer=optimizer,
        schedule=learning_rate_factor(config, steps_per_epoch(config, store)),
        loss_weights={str(key): float(value) for key, value in config.loss.weights.items()},
        objective=config.loss.objective,
        augmentation=augmentation,
        accumulate=int(config.optim.accumulate),
        clip_norm=float(config.optim.clip_norm),
        ema_decay=float(config.optim.ema_decay),
        adversarial_start=int(config.loss.adversarial_start),
        adversarial_frames=int(config.loss.adversarial_frames),
        seed=int(config.seed),
    )


def build_spectral_loss(objective: str, audio: AudioConfig) -> torch.nn.Module:
    """Return the spectral loss that belongs to an objective."""
    return PublishedMelLoss(audio) if objective == "hifigan" else MultiResolutionMelLoss(sample_rate=audio.sample_rate)


def learning_rate_factor(config: DictConfig, epoch_steps: int = 1) -> Callable[[int], float]:
    """Return the factor of the learning rate as a function of the step: the rise, then the group optim/schedule."""
    schedule = instantiate(config.optim.schedule, "optim.schedule")
    return with_warmup(schedule, warmup_steps=int(config.optim.warmup_steps), epoch_steps=epoch_steps)


def steps_per_epoch(config: DictConfig, store: CorpusStore) -> int:
    """Return after how many steps as much audio has been drawn as the training clips hold."""
    segment = int(config.data.segment_frames)
    frames = sum(max(clip.num_frames, segment) for clip in store.split("train"))
    devices = config.trainer.devices if isinstance(config.trainer.devices, int) else 1
    drawn = segment * int(config.data.batch_size) * int(config.optim.accumulate)
    return max(1, math.ceil(frames / (drawn * max(1, devices) * int(config.trainer.num_nodes))))


def prepare_codebook(config: DictConfig, store: CorpusStore, run: Path, *, fresh: bool) -> None:
    """Make the codebook of a new run, or one that a resumed run has lost; a new run keeps none of an earlier try."""
    path = run / CODEBOOK_FILE
    if fresh:
        path.unlink(missing_ok=True)
    if config.retrieval.codebook_size and not path.is_file():
        save_codebook(run, build_codebooks(store, int(config.retrieval.codebook_size), seed=int(config.seed)))


def build_codebooks(store: CorpusStore, size: int, *, seed: int) -> torch.Tensor:
    """Cluster each speaker's training content into one codebook; returns [S, K, D]."""
    books = []
    for name in store.speakers:
        clips = [clip for clip in store.split("train") if clip.speaker == name]
        frames = np.concatenate([np.asarray(store.feature("content", clip), dtype=np.float32) for clip in clips])
        if len(frames) > CODEBOOK_FRAMES:
            keep = np.random.default_rng(seed).choice(len(frames), CODEBOOK_FRAMES, replace=False)
            frames = frames[np.sort(keep)]
        books.append(build_codebook(torch.from_numpy(frames), size, seed=seed))
    most = max(len(book) for book in books)
    # speakers with fewer vectors repeat theirs: a repeated entry changes a blend of neighbours, not its meaning
    return torch.stack([book.repeat(-(-most // len(book)), 1)[:most] for book in books])


def build_data(config: DictConfig, store: CorpusStore) -> VoiceDataModule:
    """Make the data module that the configuration describes."""
    return VoiceDataModule(
        dataset=store.path,
        batch_size=int(config.data.batch_size),
        segment_frames=int(config.data.segment_frames),
        num_workers=int(config.data.num_workers),
        seed=int(config.seed),
        perturbed_share=float(config.data.perturbed_share),
        val_segment_frames=int(config.data.val_segment_frames),
    )


def build_trainer(config: DictConfig, run: Path, callbacks: list[Callback]) -> lightning.Trainer:
    """Make Lightning's trainer.

    Raises:
        ConfigError: if this machine cannot do what accelerator, devices and strategy ask for.
    """
    settings = config.trainer
    keeper = ModelCheckpoint(
        dirpath=run / "checkpoints",
        filename="best",
        monitor="val/mel",
        mode="min",
        save_top_k=1,
        save_last=True,
        auto_insert_metric_name=False,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    clock = StepClock()
    extra: list[Callback] = [StopAfterSteps(int(settings.steps)), RunMonitor(config, run, clock)]
    extra += [MediaLogger(audio_config(config.audio), SwiftPitch())] if settings.media else []
    extra += [ProgressLine(total_steps=int(settings.steps))] if settings.progress_bar else []
    loggers = build_loggers(config, run)
    try:
        return lightning.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=choose_precision(str(settings.precision)),
            max_epochs=-1,
            max_steps=-1,  # StopAfterSteps decides: Lightning would count the updates of both networks
            max_time=timedelta(minutes=settings.max_minutes) if settings.max_minutes is not None else None,
            val_check_interval=int(settings.validate_every) * int(config.optim.accumulate),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=loggers,
            log_every_n_steps=int(settings.log_every) * int(config.optim.accumulate),
            profiler=clock,
            callbacks=[*callbacks, *extra, keeper],
            enable_model_summary=False,
            enable_progress_bar=False,  # ours is ProgressLine
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        asked = ", ".join(f"trainer.{key}={settings[key]}" for key in ("accelerator", "devices", "strategy"))
        raise ConfigError(f"{asked} cannot be used here: {' '.join(str(error).split())}") from error


def choose_precision(wanted: str) -> Any:
    """Turn "auto" into bf16-mixed where the processor or GPU computes it natively, else 32 bits."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def validate_and_keep_best(
    trainer: lightning.Trainer, module: AdversarialTraining, data: VoiceDataModule, history: HistoryRecorder
) -> None:
    """Judge the last weights of a run that ended between two validations; keep them as last and, if better, as best."""
    trainer.validate(module, data, verbose=False)
    keeper = trainer.checkpoint_callback
    assert isinstance(keeper, ModelCheckpoint) and keeper.dirpath is not None
    value = float(trainer.callback_metrics["val/mel"])
    names = ["last"]
    if keeper.best_model_score is None or value < float(keeper.best_model_score):
        keeper.best_model_score = torch.tensor(value)
        keeper.best_model_path = str(Path(keeper.dirpath) / "best.ckpt")
        names.append("best")
    if not history.rows or history.rows[-1]["step"] != module.steps:
        history.on_validation_end(trainer, module)
    for name in names:
        trainer.save_checkpoint(Path(keeper.dirpath) / f"{name}.ckpt")


def announce(
    config: DictConfig, store: CorpusStore, module: AdversarialTraining, run: Path, resume: Path | None
) -> None:
    """Say what will be trained and where to watch it."""
    networks = {"generator": module.generator, "discriminator": module.discriminator}
    millions = {name: sum(p.numel() for p in net.parameters()) / 1e6 for name, net in networks.items() if net}
    counts = ", ".join(f"{name} {count:.2f} M" for name, count in millions.items())
    minutes = sum(clip.num_frames for clip in store.split("train")) / (60 * FRAME_RATE)
    emit(
        f"{'resuming' if resume else 'training'} {run}: {minutes:.1f} minutes of {len(store.speakers)} speaker(s); "
        f"{counts} parameters; precision {choose_precision(str(config.trainer.precision))}"
    )
    emit(f"watch it with: tensorboard --logdir {run}")


def report(run: Path, history: HistoryRecorder, module: AdversarialTraining, seconds: float) -> None:
    """Write metrics.json and print how the held-out loss went."""
    rows = history.rows
    marked = {"first": rows[0], "best": min(rows, key=lambda row: row["val/mel"]), "last": rows[-1]}
    summary = {"steps": module.steps, "seconds": round(seconds, 1), **marked, "history": rows}
    atomic_write_json(run / "metrics.json", summary)
    shown = [[label, int(row["step"]), row["val/mel"]] for label, row in marked.items()]
    emit(table(shown, ["held-out", "step", "val/mel"]))
    emit(f"{module.steps} steps in {seconds:.0f} s; checkpoints in {run / 'checkpoints'}")
    emit(f"next: python export_onnx.py run={run}")


def quieten_lightning() -> None:
    """Silence Lightning's advertising and its advice that does not apply; warnings of our own stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*srun. command is available.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*pkg_resources is deprecated.*")
