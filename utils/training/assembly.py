"""Build data, networks and losses of a run from its configuration."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from torch import nn

from models.adversarial import AdversarialTraining
from models.base import BaseVoiceConversionModel
from utils.config.train import TrainJob
from utils.console import emit
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.description import DATASET_FILE, DatasetDescription
from utils.corpus.sampling import segments_per_epoch
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.retrieval import CodebookRetrieval, entries_per_speaker
from utils.files import sha256_of_json
from utils.training.batch_augmentation import BatchAugmentation
from utils.training.block_training import BlockTraining
from utils.training.checkpoints import build_generator
from utils.training.codebook import (
    CODEBOOK_FILE,
    CodebookRecord,
    build_codebooks,
    codebook_origin,
    read_codebook,
    save_codebook,
)
from utils.training.devices import choose_loading, choose_precision, is_first_process
from utils.training.losses import MelDistance, build_spectral_loss
from utils.training.optimizers import build_optimizer, prepare_networks
from utils.training.pretrained import FITTED_SPEAKERS, load_pretrained, speaker_rows
from utils.training.schedules import with_warmup
from utils.training.speaker_start import fit_speakers
from utils.training.stored_frontend import stored_frontend

log = logging.getLogger(__name__)


def build_training(
    job: TrainJob, store: CorpusStore, run: Path, *, fresh: bool, codebook: CodebookRecord | None = None
) -> AdversarialTraining:
    """Build networks, losses and augmentation; a fresh run starts from pretrained weights where configured.

    Args:
        job: what is asked for.
        store: the dataset.
        run: folder of the run.
        fresh: whether the run begins.
        codebook: which one the run has had; None for a new one, or where its checkpoint does not say.
    """
    optimizer = build_optimizer(job.optim, choose_precision(job))
    generator = build_generator(job.model, store.description)
    discriminator = job.discriminator.build() if job.discriminator else None
    if fresh:
        start_from_pretrained(job, generator, discriminator, store.description)
        if job.pretrained.speakers == FITTED_SPEAKERS and job.pretrained.generator:
            fit_speakers_of(job, generator, store, job.pretrained.generator)
    if job.trainer.recompute and not generator.recompute_blocks():
        raise ConfigError(f"trainer.recompute=true: {job.model.target} has no blocks that can be computed again")
    prepare_networks(job.trainer, generator, discriminator)
    gains = job.augmentation.build()
    augmentation = BatchAugmentation(
        prepare_codebook(job, store, run, fresh=fresh, expected=codebook),
        retrieval_share=job.retrieval.training_share,
        gain_down_db=gains.gain_down_db,
        gain_up_db=gains.gain_up_db,
        seed=job.seed,
    )
    return AdversarialTraining(
        generator=generator,
        discriminator=discriminator,
        spectral_loss=build_spectral_loss(job.loss.objective, job.audio, longest=job.loss.longest_window),
        validation_loss=MelDistance(job.audio),
        optimizer=optimizer,
        schedule=learning_rate_factor(job, steps_per_epoch(job, store)),
        loss_weights=dict(job.loss.weights),
        objective=job.loss.objective,
        augmentation=augmentation,
        blocks=build_blocks(job, store, generator),
        accumulate=job.optim.accumulate,
        clip_norm=job.optim.clip_norm,
        precision=choose_precision(job),
        fit_memory=job.trainer.fit_memory,
        ema_decay=job.optim.ema_decay,
        adversarial_start=job.loss.adversarial_start,
        adversarial_frames=job.loss.adversarial_frames,
        seed=job.seed,
    )


def build_blocks(job: TrainJob, store: CorpusStore, generator: BaseVoiceConversionModel) -> BlockTraining | None:
    """Return what trains a share of the clips in blocks; None where data.block_share is 0.

    Raises:
        ConfigError: if the model makes no whole segment from features alone, or the dataset's encoder is another here
            or fits in no graph, or lengths are given without a share.
    """
    share = job.data.block_share
    if not share:
        if "data.block_lengths" in job.given:
            raise ConfigError(
                "data.block_lengths does nothing without a share of clips in blocks: give data.block_share"
            )
        return None
    if generator.reads_audio or type(generator).training_pass is not BaseVoiceConversionModel.training_pass:
        raise ConfigError(
            f"data.block_share={share:g} needs a model that makes a whole segment from its features, model=lite; leave "
            f"it at 0 with {job.model.target}"
        )
    file = store.path / DATASET_FILE
    frontend = stored_frontend(store.description, file, str(store.path), store.audio.sample_rate)
    return BlockTraining(
        frontend.eval(),
        share=share,
        lengths=job.data.block_lengths,
        perturbed_share=job.data.perturbed_share,
        speeds=store.description.content_copies.get("content_speeds", ()),
        seed=job.seed,
    )


def start_from_pretrained(
    job: TrainJob, generator: nn.Module, discriminator: nn.Module | None, dataset: DatasetDescription
) -> None:
    """Fill networks in place with the weights that the group `pretrained` names, and say what was taken."""
    starts: tuple[tuple[str, nn.Module | None, str | None], ...] = (
        ("generator", generator, job.pretrained.generator),
        ("discriminator", discriminator, job.pretrained.discriminator),
    )
    for name, network, file in starts:
        if file and network is not None:
            note = load_pretrained(
                network,
                file,
                f"pretrained.{name}",
                dataset,
                speakers=job.pretrained.speakers,
                fresh_posterior=job.pretrained.fresh_posterior,
            )
            if is_first_process():
                emit(note)


def fit_speakers_of(job: TrainJob, generator: nn.Module, store: CorpusStore, file: str) -> None:
    """Start the speakers of a base's network at mixes of the base's own, and say so."""
    rows = speaker_rows(file, "pretrained.generator")
    loss = build_spectral_loss(job.loss.objective, job.audio, longest=job.loss.longest_window)
    note = fit_speakers(generator, rows, store, loss, seed=job.seed)
    if is_first_process():
        emit(note)


def learning_rate_factor(job: TrainJob, epoch_steps: int = 1) -> Callable[[int], float]:
    """Return the factor of the learning rate as a function of the step: the rise, then the group optim/schedule."""
    schedule = job.optim.schedule.build()
    return with_warmup(schedule, warmup_steps=job.optim.warmup_steps, epoch_steps=epoch_steps)


def steps_per_epoch(job: TrainJob, store: CorpusStore) -> int:
    """Return after how many steps as many segments have been seen as fit into the training clips."""
    segments = segments_per_epoch([clip.num_frames for clip in store.split("train")], job.data.segment_frames)
    return max(1, math.ceil(segments / job.data.batch_size))


def prepare_codebook(
    job: TrainJob, store: CorpusStore, run: Path, *, fresh: bool, expected: CodebookRecord | None = None
) -> CodebookRetrieval | None:
    """Return the codebook of the run, made anew where it is a new run's or lost; the first process writes it.

    Each process that a cluster starts makes it for itself: they are connected only when the training begins.

    Raises:
        FormatError: if its file is damaged.
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
    if expected is not None and CodebookRecord.of(codebook).sha256 != expected.sha256:
        log.warning(
            "%s was lost; the one that was made anew differs from it by rounding or in what it is made of", path
        )
    if is_first_process():
        save_codebook(run, codebook, origin, replaces=[] if expected is None else [expected.sha256])
    return CodebookRetrieval(codebook)


def renew_codebook(job: TrainJob, store: CorpusStore, run: Path, module: AdversarialTraining) -> None:
    """Replace the codebook of a run that goes on with other settings or data, if another one belongs to them."""
    assert isinstance(module.augmentation, BatchAugmentation)
    module.augmentation.retrieval = prepare_codebook(job, store, run, fresh=True)


def build_data(job: TrainJob, store: CorpusStore) -> VoiceDataModule:
    """Build the batches that the configuration describes.

    Raises:
        ConfigError: if the settings do not fit each other or the dataset.
    """
    loading = choose_loading(job)
    return VoiceDataModule(
        store,
        batch_size=job.data.batch_size,
        segment_frames=job.data.segment_frames,
        num_workers=loading.num_workers,
        pin_memory=loading.pin_memory,
        seed=job.seed,
        perturbed_share=job.data.perturbed_share,
        val_segment_frames=job.data.val_segment_frames,
        speaker_weights=job.data.speaker_weights,
        augmentation=job.augmentation.build(),
        bucketing=job.data.bucketing,
        device_cache=job.data.device_cache,
        repeat_batch=job.data.repeat_batch,
    )
