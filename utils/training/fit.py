"""Train a voice: prepare the run, restore what it continues, fit, summarize."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning

from models.adversarial import AdversarialTraining
from utils.audio.frames import FRAME_RATE
from utils.config.environment import run_suffix
from utils.config.renamed import first_class_name
from utils.config.train import TrainJob
from utils.console import emit, pasted
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.errors import StoppedBySignalError
from utils.features.retrieval import entries_per_speaker
from utils.files import atomic_write_text
from utils.training.assembly import build_data, build_training, renew_codebook
from utils.training.callbacks.after_validation import AfterValidation
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.forecasting import CostForecast
from utils.training.callbacks.history import HistoryRecorder
from utils.training.callbacks.nonfinite import NonFiniteGuard
from utils.training.callbacks.run_payload import RunPayload
from utils.training.checkpoint_checks import require_optimizers, steps_done, stored_codebook
from utils.training.checkpoints import require_same_networks
from utils.training.checks import check_evaluation, check_machine, check_perturbed_copies, open_dataset
from utils.training.codebook import codebook_record, read_stored, require_sizes
from utils.training.criterion import best_from_step
from utils.training.debug_run import remove_debug_run
from utils.training.devices import (
    choose_precision,
    describe_loading,
    first_device,
    fit_to_device,
    is_first_process,
    num_processes,
)
from utils.training.epochs import with_early_validations, with_epochs_as_steps
from utils.training.optimizers import require_same_optimizers
from utils.training.pretrained import pretrained_files
from utils.training.probe import probe, report_probe
from utils.training.restorable import require_restorable
from utils.training.resuming import (
    ResumedCheckpoint,
    differing_keys,
    find_checkpoint,
    held_out_changed,
    require_same_run,
    with_settings_of_start,
)
from utils.training.run_lock import lock_run
from utils.training.signals import stopped_by_signals
from utils.training.summary import summarize
from utils.training.trainer import build_overtraining_watch, build_trainer, quieten_lightning

log = logging.getLogger(__name__)


@dataclass
class Run:
    """A training that is prepared.

    Attributes:
        job: what is asked for; a run that continues has the settings that its start brought.
        folder: where it is written.
        store: the dataset.
        data: its batches.
        module: networks, losses and optimizers.
        trainer: Lightning's, with all callbacks.
        history: collects the validation figures.
        payload: describes the run in its checkpoints.
        resumed_from: the checkpoint that it continues; None for a new run.
    """

    job: TrainJob
    folder: Path
    store: CorpusStore
    data: VoiceDataModule
    module: AdversarialTraining
    trainer: lightning.Trainer
    history: HistoryRecorder
    payload: RunPayload
    resumed_from: Path | None


@stopped_by_signals()
def train(job: TrainJob, after_validation: Callable[[Path], None] | None = None) -> Path:
    """Train or resume a run and return its folder.

    Args:
        job: what is asked for.
        after_validation: is given the folder after each validation, and must return at once.
    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run, or another train.py
            trains this run.
        StoppedBySignalError: if the run was asked to end and can be continued.
        TrainingError: if the training diverged.
    """
    store = open_dataset(job)
    folder = run_folder(job)
    with lock_run(folder):
        if job.run.replace and job.resume is None:
            remove_debug_run(folder)
        checkpoint = find_checkpoint(job, folder)
        run = prepare_run(job, store, folder, checkpoint, after_validation)
        if checkpoint is not None:
            restore(run, checkpoint)
        if job.trainer.probe:
            probe_only(run)
        else:
            fit(run)
    return folder


def prepare_run(
    job: TrainJob,
    store: CorpusStore,
    folder: Path,
    checkpoint: ResumedCheckpoint | None,
    after_validation: Callable[[Path], None] | None = None,
) -> Run:
    """Check what is asked for and build data, networks and trainer.

    Args:
        job: what is asked for.
        store: the dataset.
        folder: of the run.
        checkpoint: that the run continues; None for a new run.
        after_validation: is given the folder after each validation.
    Raises:
        ConfigError: if something does not fit; nothing is written then.
    """
    resumed_from = None
    if checkpoint is not None:
        job, resumed_from = with_settings_of_start(checkpoint.content, job), checkpoint.path
    job = with_early_validations(with_epochs_as_steps(job, store), store)
    check_machine(job)
    data = build_data(job, store)
    check_perturbed_copies(job, store, is_new=checkpoint is None)
    check_evaluation(job, store)
    quieten_lightning()
    lightning.seed_everything(job.seed, workers=True, verbose=False)
    checkpointing = BestAndLastCheckpoint(
        folder / "checkpoints",
        save_every=job.trainer.save_every,
        resumed_from=resumed_from,
        best_from_step=best_from_step(job),
    )
    history = HistoryRecorder()
    payload = RunPayload(job, store.description, pretrained_files(job) if checkpoint is None else None)
    guard = NonFiniteGuard(folder, max_skipped=job.trainer.max_skipped, name_clips=data.name_segments)
    forecast = CostForecast(job, folder, minutes_of(store))
    callbacks = [history, *build_overtraining_watch(job.overtraining), payload, guard, forecast]
    listeners = [AfterValidation(after_validation, folder)] if after_validation else []
    trainer = build_trainer(job, folder, callbacks, checkpointing, listeners)
    expected = None if checkpoint is None else stored_codebook(checkpoint.content, checkpoint.path)
    module = build_training(job, store, folder, fresh=checkpoint is None, codebook=expected)
    payload.codebook = codebook_record(folder)
    fit_to_device(module, first_device(job))
    return Run(job, folder, store, data, module, trainer, history, payload, resumed_from)


def restore(run: Run, checkpoint: ResumedCheckpoint) -> None:
    """Check that a run goes on as it began, and where; Lightning loads the states when the fit begins.

    Raises:
        ConfigError: if the checkpoint is of another run, or of other settings and resume_changed is not set.
    """
    content, path, dataset = checkpoint.content, checkpoint.path, run.store.description
    require_same_networks(content, path, run.module.state_dict(), dataset)
    networks = [network for network in (run.module.generator, run.module.discriminator) if network is not None]
    require_optimizers(content, path, [None for _ in networks])
    require_same_optimizers(content, path, run.module.make_optimizer, networks)
    require_restorable(content, path, run.module, run.trainer.callbacks)  # type: ignore[attr-defined]
    note = require_same_run(content, path, run.job, dataset)
    if note and is_first_process():
        log.warning("%s", note)
    if not run.job.resume_changed:
        require_same_codebook(run, checkpoint)
    run.payload.held_out_changed = held_out_changed(differing_keys(content, run.job, dataset))
    run.data.start_step = steps_done(content)
    content.clear()  # Lightning reads the file again, and RVC's has 1.5 GB


def require_same_codebook(run: Run, checkpoint: ResumedCheckpoint) -> None:
    """Check that the codebook beside a run is that of the checkpoint from which it goes on.

    Raises:
        FormatError: if it is another, or of other speakers, features or a larger size.
    """
    stored = read_stored(run.folder)
    if stored is None:
        return
    expected = stored_codebook(checkpoint.content, checkpoint.path)
    stored.require(run.folder, expected, str(checkpoint.path))
    num_speakers = len(run.store.speakers)
    most = entries_per_speaker(run.job.retrieval.codebook_size, num_speakers) if expected is None else 0
    require_sizes(
        stored.codebook, run.folder, str(checkpoint.path), num_speakers=num_speakers, dim=run.store.content_dim,
        most=most or None,
    )  # fmt: skip


def fit(run: Run) -> None:
    """Train until the run is complete, and report how it went."""
    if run.resumed_from is not None and run.job.resume_changed:
        renew_codebook(run.job, run.store, run.folder, run.module)
        run.payload.codebook = codebook_record(run.folder)
    if is_first_process():
        atomic_write_text(run.folder / "config.yaml", run.job.to_yaml())
        announce(run)
    started = time.monotonic()
    checkpoint = None if run.resumed_from is None else str(run.resumed_from)
    try:
        run.trainer.fit(run.module, run.data, ckpt_path=checkpoint, weights_only=True)
    except StoppedBySignalError:
        if is_first_process():
            raise
        return  # a launcher that sees a process fail would kill the first one, which reports for all
    if is_first_process():
        seconds = time.monotonic() - started
        summarize(run.folder, run.history, run.module, seconds, best_from_step=best_from_step(run.job))


def run_folder(job: TrainJob) -> Path:
    """Return the folder of the run; a run of a sweep gets its number and its values."""
    name = job.run.name or f"{job.dataset.name}_{first_class_name(str(job.model.target)).lower()}"
    return Path(job.run.root) / f"{name}{run_suffix()}"


def probe_only(run: Run) -> None:
    """Measure what sizes of micro-batches need instead of training."""
    device = first_device(run.job)
    batch = next(iter(run.data.train_dataloader()))
    share = batch.part(slice(0, len(batch.audio) // num_processes(run.job)))  # what each device gets of a batch
    report_probe(probe(run.module, share, device), device)


def minutes_of(store: CorpusStore) -> float:
    """Return the minutes of recordings that are trained on."""
    return sum(clip.num_frames for clip in store.split("train")) / (60 * FRAME_RATE)


def announce(run: Run) -> None:
    """Say what will be trained, how batches are loaded and where to watch it."""
    networks = {"generator": run.module.generator, "discriminator": run.module.discriminator}
    millions = {name: sum(p.numel() for p in net.parameters()) / 1e6 for name, net in networks.items() if net}
    counts = ", ".join(f"{name} {count:.2f} M" for name, count in millions.items())
    emit(
        f"{'resuming' if run.resumed_from else 'training'} {run.folder}: {minutes_of(run.store):.1f} minutes of "
        f"{len(run.store.speakers)} speaker(s); {counts} parameters; precision {choose_precision(run.job)}"
    )
    emit(describe_loading(run.job))
    emit(f"watch it with: {pasted('tensorboard', '--logdir', run.folder)}")
