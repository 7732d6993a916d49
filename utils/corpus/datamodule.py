"""Batches for training and validation."""

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, Sampler, Subset

from utils.audio.batch import VoiceBatch
from utils.corpus.balance import SpeakerWeights
from utils.corpus.dataset import VoiceConversionDataset, VoiceExample, WholeClips, collate
from utils.corpus.device_cache import CachedSegments, require_cacheable
from utils.corpus.reported_errors import ReportingExamples, ReportingLoader, collate_or_report
from utils.corpus.store import CorpusStore
from utils.corpus.voice_augmentation import AugmentationSettings

VALIDATION_BATCH = 12  # clips
# that ask a run to end
OF_ALL_SYSTEMS = (signal.SIGTERM, signal.SIGINT)
OF_UNIX = ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU")
STOP_SIGNALS = (*OF_ALL_SYSTEMS, *(getattr(signal, name) for name in OF_UNIX if hasattr(signal, name)))
log = logging.getLogger(__name__)


class StepSampler(Sampler[list[int]]):
    """Numbers of a device's segments for each update, without end and without state.

    Update n has the segments from n * batch_size on; each device takes an equal part of them.

    Args:
        batch_size: segments of an update, over all devices; a multiple of world_size.
        start_step: first update.
        rank: number of this device.
        world_size: number of devices.
        is_repeated: whether every update has the segments of the first one.
    """

    def __init__(
        self, batch_size: int, *, start_step: int = 0, rank: int = 0, world_size: int = 1, is_repeated: bool = False
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f"{batch_size} segments cannot be shared equally by {world_size} devices")
        self.batch_size = batch_size
        self.start_step = start_step
        self.rank = rank
        self.world_size = world_size
        self.is_repeated = is_repeated

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this device's segments of one update after the other."""
        share = self.batch_size // self.world_size
        step = self.start_step
        while True:
            first = (0 if self.is_repeated else step) * self.batch_size + self.rank * share
            yield list(range(first, first + share))
            step += 1


class VoiceDataModule(lightning.LightningDataModule):
    """The loaders of a training run.

    The segments of update n are a function of (seed, n): to resume after n updates, set start_step = n before the fit.

    Args:
        store: the dataset.
        batch_size: examples of an update, over all devices.
        segment_frames: length of a training example; None takes whole clips.
        num_workers: loading processes; 0 loads in the training process.
        pin_memory: whether batches lie in memory that a GPU reads directly.
        seed: of all choices.
        perturbed_share: share of segments whose content comes from a copy with another vocal tract.
        val_segment_frames: held-out clips are cut to at most so many frames.
        speaker_weights: how often each speaker is chosen, see speaker_factors.
        augmentation: what may be changed of training examples.
        bucketing: put clips of similar length together and pad them no longer than the longest.
        device_cache: keep the whole dataset in the memory of the device.
        repeat_batch: every update has the first batch again.

    Attributes:
        examples: to train on.
        start_step: updates that are done already.

    Raises:
        ConfigError: if the settings do not fit each other or the dataset.
    """

    def __init__(
        self,
        store: CorpusStore,
        *,
        batch_size: int,
        segment_frames: int | None,
        num_workers: int,
        pin_memory: bool = False,
        seed: int,
        perturbed_share: float,
        val_segment_frames: int,
        speaker_weights: SpeakerWeights = "natural",
        augmentation: AugmentationSettings | None = None,
        bucketing: bool = True,
        device_cache: bool = False,
        repeat_batch: bool = False,
    ) -> None:
        super().__init__()
        self.store = store
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.val_segment_frames = val_segment_frames
        self.device_cache = device_cache
        self.repeat_batch = repeat_batch
        self.start_step = 0
        self.examples = VoiceConversionDataset(
            store,
            "train",
            segment_frames=segment_frames,
            seed=seed,
            perturbed_share=perturbed_share,
            speaker_weights=speaker_weights,
            augmentation=augmentation,
            bucket_size=batch_size if bucketing else None,
        )
        if device_cache:
            require_cacheable(self.examples)

    def train_dataloader(self) -> DataLoader[VoiceBatch]:
        """Return an endless loader of this device's part of each update as VoiceBatch, from update start_step on."""
        rank, world_size = self._place()
        sampler = StepSampler(
            self.batch_size,
            start_step=self.start_step,
            rank=rank,
            world_size=world_size,
            is_repeated=self.repeat_batch,
        )
        if self.device_cache:
            if self.num_workers:
                log.warning("data.num_workers=%d has no effect with data.device_cache=true", self.num_workers)
            device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
            return CachedSegments(self.examples, device).loader(sampler)
        return ReportingLoader(
            ReportingExamples(self.examples),  # type: ignore[arg-type]  # typed by examples, not by batches
            batch_sampler=sampler,
            pin_memory=self.pin_memory,
            num_workers=self.num_workers,
            collate_fn=collate_or_report,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_leave_signals_to_the_main_process,
        )

    def val_dataloader(self) -> DataLoader[VoiceExample]:
        """Return a loader of this device's share of the held-out clips as VoiceBatch, in a fixed order.

        Where there are fewer clips than devices, each device takes all of them: the mean stays the same.
        """
        examples = WholeClips(self.store, "val", max_frames=self.val_segment_frames)
        rank, world_size = self._place()
        share = range(rank, len(examples), world_size) if len(examples) >= world_size else range(len(examples))
        clips = Subset(examples, list(share))
        return DataLoader(clips, batch_size=VALIDATION_BATCH, collate_fn=collate, num_workers=0)

    def _place(self) -> tuple[int, int]:
        """Return the number of this device and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def name_segments(self, numbers: list[int]) -> list[str]:
        """Return what to call training segments in a report."""
        segments = [self.examples.plan.segment(number) for number in numbers]
        return [f"{self.examples.clips[segment.clip].id} from frame {segment.first}" for segment in segments]

    def transfer_batch_to_device(self, batch: VoiceBatch, device: torch.device, dataloader_idx: int) -> VoiceBatch:
        """Move a batch to the device of the training."""
        return batch.to(device, non_blocking=self.pin_memory)


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ignore signals in a loading process: they reach every process of a job, and a dead loader would end the run.

    A signal of the main process still ends it: so Python and torch end loaders that are left over.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS and Windows cannot tell who sent a signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # also in threads that begin later
    threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()


def _end_when_told_by(process: int) -> None:
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != process:
        pass
    os._exit(0)
