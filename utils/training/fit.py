"""Train a voice: put data, networks, losses and Lightning together as the configuration says."""

import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from models.adversarial import AdversarialTraining
from utils.audio.frames import FRAME_RATE
from utils.config import AudioConfig, audio_config, check_range, instantiate, require
from utils.console import emit, table
from utils.corpus.balance import plain_speaker_weights
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.drawing import draws_per_epoch
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, StoppedBySignalError
from utils.features.pitch.swift import SwiftPitch
from utils.features.retrieval import CodebookRetrieval, build_codebook, entries_per_speaker
from utils.files import atomic_write_json, atomic_write_text, sha256_of_json
from utils.overrides import run_suffix
from utils.training.augmentation import BatchAugmentation
from utils.training.callbacks import HistoryRecorder
from utils.training.checkpoints import (
    CODEBOOK_FILE,
    build_generator,
    codebook_origin,
    read_codebook,
    require_same_networks,
    save_codebook,
)
from utils.training.devices import (
    choose_precision,
    choose_strategy,
    environment_plugins,
    first_device,
    is_first_process,
    keep_freed_memory,
    num_processes,
)
from utils.training.keeping import AtomicCheckpointIO, RunKeeper
from utils.training.loggers import build_loggers
from utils.training.losses import MelDistance, MultiResolutionMelLoss, PublishedMelLoss
from utils.training.media import MediaLogger
from utils.training.monitoring import RunMonitor, StepClock
from utils.training.nonfinite import NonFiniteGuard
from utils.training.optimizers import build_optimizer, prepare_networks, require_same_optimizers
from utils.training.overtraining import build_watch
from utils.training.pretrained import load_pretrained, pretrained_files
from utils.training.probe import probe, report_probe
from utils.training.progress import ProgressLine
from utils.training.resuming import RunPayload, find_resume, read_resumed, require_same_run
from utils.training.schedules import with_warmup
from utils.training.stopping import StopAfterSteps, StopOnSignal, leave_when_asked

log = logging.getLogger(__name__)
OBJECTIVES = ("balanced", "hifigan")
CODEBOOK_FRAMES = 60_000  # frames of a speaker that the codebook's clustering looks at


@leave_when_asked()
def train(config: DictConfig) -> Path:
    """Train or resume a run and return its folder.

    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run.
        StoppedBySignalError: if the run was asked to end and can be continued.
        TrainingError: if the training diverged.
    """
    store = open_dataset(config)
    check_training_values(config)
    build_data(config, store).train_examples()  # refuses what does not fit the dataset before anything is written
    watch = build_watch(config)
    run = run_folder(config)
    resume_from = find_resume(config, run)
    quieten_lightning()
    lightning.seed_everything(int(config.seed), workers=True, verbose=False)
    history = HistoryRecorder()
    data = build_data(config, store)
    guard = NonFiniteGuard(run, max_skipped=int(config.trainer.max_skipped), name_clips=data.name_draws)
    keeper = RunKeeper(
        run / "checkpoints", save_every=int(config.trainer.save_every), resumed_from=resume_from,
        first_judged=first_judged(config),
    )  # fmt: skip
    payload = RunPayload(config, store.info, pretrained_files(config) if resume_from is None else None)
    trainer = build_trainer(config, run, [history, *watch, payload, guard], keeper)
    module = build_training(config, store, run, fresh=resume_from is None)
    if resume_from is not None:
        content = read_resumed(resume_from)
        require_same_networks(content, resume_from, module.state_dict(), store.info)
        networks = [network for network in (module.generator, module.discriminator) if network is not None]
        require_same_optimizers(content, resume_from, module.make_optimizer, networks)
        note = require_same_run(content, resume_from, config, store.info)
        if note and is_first_process():
            log.warning("%s", note)
        data.start_step = int(content["state_dict"]["steps_done"])
        del content  # the trainer reads the file again, and RVC's has 1.5 GB
    if config.trainer.probe:
        return probe_only(config, module, data, run)
    if is_first_process():
        atomic_write_text(run / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
        announce(config, store, module, run, resume_from)
    started = time.monotonic()
    try:
        trainer.fit(module, data, ckpt_path=str(resume_from) if resume_from else None, weights_only=True)
    except StoppedBySignalError:
        if is_first_process():
            raise
        return run  # the first process speaks for all, and a launcher that sees another one fail would kill it
    if is_first_process():
        report(run, history, module, time.monotonic() - started, first_judged=first_judged(config))
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
    if config.data.segment_frames is not None:
        check_range("data.segment_frames", config.data.segment_frames, 20)
    check_range("data.val_segment_frames", config.data.val_segment_frames, 20)
    check_range("data.num_workers", config.data.num_workers, 0)
    check_range("data.perturbed_share", config.data.perturbed_share, 0, 1)
    if config.retrieval.codebook_size is not None:
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
    choose_precision(config)
    check_range("trainer.save_every", config.trainer.save_every, 1)
    check_range("trainer.max_skipped", config.trainer.max_skipped, 1)
    if config.data.batch_size % num_processes(config):
        raise ConfigError(
            f"data.batch_size={config.data.batch_size} clips of one update cannot be shared equally by "
            f"{num_processes(config)} processes (trainer.devices x trainer.num_nodes); choose a multiple"
        )
    if config.model.sample_rate != config.audio.sample_rate:
        raise ConfigError(
            f"model.sample_rate={config.model.sample_rate} must be audio.sample_rate={config.audio.sample_rate}; "
            "choose another audio=... group instead"
        )
    if config.trainer.max_minutes is not None:
        check_range("trainer.max_minutes", config.trainer.max_minutes, 0.01)


def run_folder(config: DictConfig) -> Path:
    """Return the folder of the run; a run of a sweep gets its number and its values."""
    name = config.run.name or f"{config.dataset.name}_{str(config.model._target_).rsplit('.', 1)[-1].lower()}"
    return Path(config.run.root) / f"{name}{run_suffix()}"


def first_judged(config: DictConfig) -> int:
    """Return the update from which on a state can be the best: an adversary that joins raises the criterion."""
    return int(config.loss.adversarial_start) if config.discriminator.get("_target_") else 0


def best_held_out(run: Path) -> float | None:
    """Return the lowest val/mel of a finished run; None where another process writes it (see report)."""
    path = run / "metrics.json"
    return float(json.loads(path.read_text("utf-8"))["best"]["val/mel"]) if path.is_file() else None


def build_training(config: DictConfig, store: CorpusStore, run: Path, *, fresh: bool) -> AdversarialTraining:
    """Build networks, losses and augmentation; a fresh run starts from pretrained weights where configured."""
    audio = audio_config(config.audio)
    optimizer = build_optimizer(config, choose_precision(config))
    generator = build_generator(config, store.info)
    discriminator = instantiate(config.discriminator, "discriminator") if config.discriminator.get("_target_") else None
    if fresh:
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if config.pretrained[name] and network is not None:
                note = load_pretrained(
                    network,
                    str(config.pretrained[name]),
                    f"pretrained.{name}",
                    store.info,
                    speakers=config.pretrained.speakers,
                    fresh_posterior=bool(config.pretrained.fresh_posterior),
                )
                if is_first_process():
                    emit(note)
    if config.trainer.recompute and not generator.recompute_blocks():
        raise ConfigError(f"trainer.recompute=true: {config.model._target_} has no blocks that can be computed again")
    prepare_networks(config, generator, discriminator)
    changes = instantiate(config.augmentation, "augmentation")
    augmentation = BatchAugmentation(
        prepare_codebook(config, store, run, fresh=fresh),
        retrieval_share=config.retrieval.training_share,
        gain_down_db=changes.gain_down_db,
        gain_up_db=changes.gain_up_db,
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
        precision=choose_precision(config),
        fit_memory=bool(config.trainer.fit_memory),
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
    draws = draws_per_epoch([clip.num_frames for clip in store.split("train")], config.data.segment_frames)
    return max(1, math.ceil(draws / int(config.data.batch_size)))


def prepare_codebook(config: DictConfig, store: CorpusStore, run: Path, *, fresh: bool) -> CodebookRetrieval | None:
    """Return the codebook of the run, made anew where it is a new run's or lost; the first process writes it.

    Each process that a cluster starts makes it for itself: they meet only when the training begins.
    """
    path, seed = run / CODEBOOK_FILE, int(config.seed)
    size = entries_per_speaker(config.retrieval.codebook_size, len(store.speakers))
    if not size:
        if fresh and is_first_process():
            path.unlink(missing_ok=True)
        return None if fresh else read_codebook(run)
    origin = sha256_of_json([store.info["features"]["content"], store.info["files"], size, seed])
    if path.is_file() and (not fresh or codebook_origin(run) == origin):
        return read_codebook(run)
    codebook = build_codebooks(store, size, seed=seed)
    if is_first_process():
        save_codebook(run, codebook, origin)
    return CodebookRetrieval(codebook)


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


def build_data(config: DictConfig, store: CorpusStore) -> VoiceDataModule:
    """Make the data module that the configuration describes."""
    return VoiceDataModule(
        dataset=store.path,
        batch_size=int(config.data.batch_size),
        segment_frames=config.data.segment_frames,
        num_workers=int(config.data.num_workers),
        seed=int(config.seed),
        perturbed_share=float(config.data.perturbed_share),
        val_segment_frames=int(config.data.val_segment_frames),
        speaker_weights=plain_speaker_weights(config.data.speaker_weights),
        augmentation=instantiate(config.augmentation, "augmentation"),
        bucketing=bool(config.data.bucketing),
        device_cache=bool(config.data.device_cache),
    )


def build_trainer(config: DictConfig, run: Path, callbacks: list[Callback], keeper: RunKeeper) -> lightning.Trainer:
    """Make Lightning's trainer.

    Raises:
        ConfigError: if this machine cannot do what accelerator, devices and strategy ask for.
    """
    settings = config.trainer
    # who has blocks computed again is short of memory: that which is kept has gaps
    if first_device(config).type == "cpu" and not settings.recompute:
        keep_freed_memory()
    clock = StepClock()
    extra: list[Callback] = [
        StopAfterSteps(int(settings.steps)),
        RunMonitor(config, run, clock, first_judged=first_judged(config)),
    ]
    extra += [MediaLogger(audio_config(config.audio), SwiftPitch())] if settings.media else []
    extra += [ProgressLine(total_steps=int(settings.steps))] if settings.progress_bar else []
    loggers = build_loggers(config, run)
    try:
        return lightning.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=choose_strategy(config),
            plugins=[AtomicCheckpointIO(), *environment_plugins()],
            max_epochs=-1,
            max_steps=-1,  # StopAfterSteps decides: Lightning would count the updates of both networks
            max_time=timedelta(minutes=settings.max_minutes) if settings.max_minutes is not None else None,
            val_check_interval=int(settings.validate_every),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=loggers,
            log_every_n_steps=int(settings.log_every),
            profiler=clock,
            callbacks=[*callbacks, *extra, keeper, StopOnSignal(keeper)],
            enable_model_summary=False,
            enable_progress_bar=False,  # ours is ProgressLine
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        asked = ", ".join(f"trainer.{key}={settings[key]}" for key in ("accelerator", "devices", "num_nodes"))
        raise ConfigError(f"{asked} cannot be used here: {' '.join(str(error).split())}") from error


def probe_only(config: DictConfig, module: AdversarialTraining, data: VoiceDataModule, run: Path) -> Path:
    """Measure what sizes of micro-batches need instead of training."""
    device = first_device(config)
    whole = next(iter(data.train_dataloader()))
    share = whole.part(slice(0, len(whole.audio) // num_processes(config)))  # what each device gets of a batch
    report_probe(probe(module, share, device), device)
    return run


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
        f"{counts} parameters; precision {choose_precision(config)}"
    )
    emit(f"watch it with: tensorboard --logdir {run}")


def report(
    run: Path, history: HistoryRecorder, module: AdversarialTraining, seconds: float, *, first_judged: int
) -> None:
    """Write metrics.json and print how the held-out loss went; the best is one from `first_judged` on, if there is."""
    rows = history.rows
    judged = [row for row in rows if row["step"] >= first_judged] or rows
    marked = {"first": rows[0], "best": min(judged, key=lambda row: row["val/mel"]), "last": rows[-1]}
    summary = {
        "steps": module.steps,
        "skipped": module.skipped,
        "seconds": round(seconds, 1),
        **marked,
        "history": rows,
    }
    atomic_write_json(run / "metrics.json", summary)
    shown = [[label, int(row["step"]), row["val/mel"]] for label, row in marked.items()]
    emit(table(shown, ["held-out", "step", "val/mel"]))
    emit(f"{module.steps} steps in {seconds:.0f} s; checkpoints in {run / 'checkpoints'}")
    if module.skipped:
        emit(f"{module.skipped} of the updates were skipped, as their gradients were not finite")
    emit(f"next: python export_onnx.py run={run}")


def quieten_lightning() -> None:
    """Silence Lightning's advertising and its advice that does not apply; warnings of our own stay."""
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if "SLURM_JOB_ID" not in os.environ:
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*pkg_resources is deprecated.*")
