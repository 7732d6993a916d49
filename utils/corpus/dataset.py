"""Training examples: each one a function of the seed and its number, so that a resumed run sees the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from utils.audio.batch import VoiceBatch
from utils.audio.loudness import FLOOR_DB
from utils.corpus.balance import SpeakerWeights, speaker_factors
from utils.corpus.manifest import Clip
from utils.corpus.sampling import Segment, SegmentPlan
from utils.corpus.split import Split, nothing_held_out
from utils.corpus.store import CorpusStore
from utils.corpus.voice_augmentation import AugmentationSettings, Excerpt, VoiceChange, change_voice
from utils.errors import ConfigError, DataError

COPY_KEYS = {"noise": "content_noise_db=[15]", "room": "content_room_seconds=[0.4]"}


@dataclass(frozen=True)
class VoiceExample:
    """A part of a clip, F frames.

    Attributes:
        audio: [F * hop_length] float32.
        content: [F, D] float32.
        f0_hz: [F] float32, 0 in unvoiced frames.
        loudness_db: [F] float32.
        speaker_id: index of the speaker.
        num_frames: frames that are not padding.
        number: of the example in its dataset.
    """

    audio: np.ndarray
    content: np.ndarray
    f0_hz: np.ndarray
    loudness_db: np.ndarray
    speaker_id: int
    num_frames: int
    number: int


class VoiceConversionDataset(Dataset[VoiceExample]):
    """Segments to train on: example i depends on the settings and i alone, for every i >= 0, also beyond len().

    What is shorter than its example is padded at the end: content and f0 with 0, audio with silence, loudness with its
    floor. See SegmentPlan for what is chosen and how long the examples are.

    Args:
        store: the dataset.
        split: "train" or "val".
        segment_frames: length of a segment; None gives whole clips.
        seed: of all choices.
        perturbed_share: share of segments whose content comes from a copy with another vocal tract.
        speaker_weights: see speaker_factors.
        augmentation: what may be changed.
        bucket_size: segments of one update over all devices, which then have similar lengths; None makes all equal.
    Raises:
        DataError: if the split has no clips.
        ConfigError: if the settings do not fit each other or the dataset.
    """

    def __init__(
        self,
        store: CorpusStore,
        split: Split,
        *,
        segment_frames: int | None,
        seed: int,
        perturbed_share: float = 0.0,
        speaker_weights: SpeakerWeights = "natural",
        augmentation: AugmentationSettings | None = None,
        bucket_size: int | None = None,
    ) -> None:
        self.store = store
        self.clips = _clips(store, split)
        frames = np.array([clip.num_frames for clip in self.clips], dtype=np.int64)
        speakers = np.array([store.speaker_id(clip) for clip in self.clips])
        amounts = np.bincount(speakers, frames, minlength=len(store.speakers))
        self.plan = SegmentPlan(
            frames,
            speaker_factors(amounts, store.speakers, speaker_weights)[speakers],
            segment_frames=segment_frames,
            seed=seed,
            perturbed_share=perturbed_share,
            augmentation=augmentation,
            bucket_size=bucket_size,
        )
        for kind, key in COPY_KEYS.items():
            share = getattr(self.plan.augmentation, f"{kind}_share")
            if share and not store.num_copies(kind):
                raise ConfigError(
                    f"augmentation.{kind}_share={share:g}: {store.path} has no content taken from copies with {kind}; "
                    f"run preprocess.py again with preprocess.{key}, or set augmentation.{kind}_share=0"
                )

    def __len__(self) -> int:
        """Return the number of segments in an epoch: as many as the audio fills."""
        return self.plan.per_epoch

    def content_name(self, segment: Segment) -> str:
        """Return the feature that a segment's content comes from; plain where the dataset has no perturbed copies."""
        kind = segment.content_kind
        count = self.store.num_copies(kind)
        return f"content_{kind}_{int(segment.copy_choice * count)}" if count else "content"

    def __getitem__(self, index: int) -> VoiceExample:
        """Return example `index`."""
        segment = self.plan.segment(index)
        clip = self.clips[segment.clip]
        excerpt = _read(self.store, clip, segment.first, segment.frames, self.content_name(segment))
        if segment.change != VoiceChange():
            rate = self.store.audio.sample_rate
            excerpt = change_voice(excerpt, segment.change, sample_rate=rate, frames=segment.result_frames)
        return _example(excerpt, self.store.speaker_id(clip), segment.padded_frames, index)


class WholeClips(Dataset[VoiceExample]):
    """The clips of a split as they are, sorted from short to long, for validation.

    Args:
        store: the dataset.
        split: "train" or "val".
        max_frames: the beginning of longer clips only; None leaves them whole.
    Raises:
        DataError: if the split has no clips.
    """

    def __init__(self, store: CorpusStore, split: Split, *, max_frames: int | None = None) -> None:
        self.store = store
        self.clips = sorted(_clips(store, split), key=lambda clip: (clip.num_frames, clip.id))
        self.max_frames = max_frames

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> VoiceExample:
        """Return clip `index`."""
        clip = self.clips[index]
        frames = clip.num_frames if self.max_frames is None else min(clip.num_frames, self.max_frames)
        return _example(_read(self.store, clip, 0, frames, "content"), self.store.speaker_id(clip), frames, index)


def collate(examples: Sequence[VoiceExample]) -> VoiceBatch:
    """Stack examples; shorter ones are padded at the end to the longest."""
    frames = max(len(item.f0_hz) for item in examples)
    hop = len(examples[0].audio) // len(examples[0].f0_hz)

    def stack(arrays: list[np.ndarray], length: int, value: float = 0.0) -> torch.Tensor:
        return torch.from_numpy(np.stack([_pad(array, length, value) for array in arrays]))

    return VoiceBatch(
        audio=stack([item.audio for item in examples], frames * hop),
        content=stack([item.content for item in examples], frames),
        f0_hz=stack([item.f0_hz for item in examples], frames),
        loudness_db=stack([item.loudness_db for item in examples], frames, FLOOR_DB),
        speaker_id=torch.tensor([item.speaker_id for item in examples], dtype=torch.int64),
        num_frames=torch.tensor([item.num_frames for item in examples], dtype=torch.int64),
        segment=torch.tensor([item.number for item in examples], dtype=torch.int64),
    )


def _clips(store: CorpusStore, split: Split) -> list[Clip]:
    clips = store.split(split)
    if not clips:
        why = f"compare states by: {nothing_held_out(store.description.held_out)}"
        raise DataError(f"{store.path} has no clips to {'train on' if split == 'train' else why}")
    return clips


def _read(store: CorpusStore, clip: Clip, first: int, frames: int, content: str) -> Excerpt:
    return Excerpt(
        audio=store.waveform(clip, first, frames),
        content=store.feature(content, clip, first, frames),
        f0_hz=store.feature("f0_hz", clip, first, frames),
        loudness_db=store.feature("loudness_db", clip, first, frames),
    )


def _example(excerpt: Excerpt, speaker_id: int, padded_frames: int, number: int) -> VoiceExample:
    frames = len(excerpt.f0_hz)
    return VoiceExample(
        audio=_pad(excerpt.audio, padded_frames * (len(excerpt.audio) // frames)),
        content=_pad(excerpt.content, padded_frames),
        f0_hz=_pad(excerpt.f0_hz, padded_frames),
        loudness_db=_pad(excerpt.loudness_db, padded_frames, FLOOR_DB),
        speaker_id=speaker_id,
        num_frames=frames,
        number=number,
    )


def _pad(array: np.ndarray, length: int, value: float = 0.0) -> np.ndarray:
    """Append rows of a value to [F, ...] until it has `length`."""
    missing = length - len(array)
    if not missing:
        return array
    return np.pad(array, [(0, missing), *[(0, 0)] * (array.ndim - 1)], constant_values=value)
