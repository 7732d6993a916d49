"""Which segment of which clip each training example is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.corpus.bucketing import LengthBuckets
from utils.corpus.voice_augmentation import AugmentationSettings, VoiceChange
from utils.errors import ConfigError

LEAST_FRAMES = 100  # batches of short clips are padded to a second: windows and slices of losses and models fit in
TAG, EPOCH_TAG = 0xD4A, 0xD4B
EPOCHS_KEPT = 2
CONTENT_KINDS = ("perturbed", "noise", "room", "plain")
GOLDEN_RATIO = (1 + 5**0.5) / 2


@dataclass(frozen=True)
class Segment:
    """A training example to be read: a part of a clip.

    Attributes:
        clip: its index.
        first: first frame.
        frames: frames of the clip that are read.
        result_frames: frames that they become; more or less where the speed is changed.
        padded_frames: length of the example.
        content_kind: one of CONTENT_KINDS: the kind of copy that the content comes from, "plain" for none.
        copy_choice: in [0, 1), chooses among the copies of a kind.
        change: of the voice.
    """

    clip: int
    first: int
    frames: int
    result_frames: int
    padded_frames: int
    content_kind: str
    copy_choice: float
    change: VoiceChange


def segments_per_epoch(clip_frames: Sequence[int], segment_frames: int | None) -> int:
    """Return how many segments have as much audio as the clips; for whole clips: their number."""
    if segment_frames is None:
        return len(clip_frames)
    return -(-sum(max(frames, segment_frames) for frames in clip_frames) // segment_frames)


class SegmentPlan:
    """The segments of a training, without end: segment i is a function of the seed and i alone.

    An epoch lays a grid of segments_per_epoch points, shifted, over all audio and visits it in random order: a clip is
    chosen in proportion to its length, to the next whole number, and with natural weights every clip at least once.
    The segment's place in the clip is uniform. The next epoch has another shift and another order.

    Args:
        clip_frames: [C] length of each clip.
        clip_factors: [C] what the chance of each clip is multiplied by.
        segment_frames: length of an example; None takes whole clips, each once per epoch where the factors are 1.
        seed: of all choices.
        perturbed_share: share of segments whose content comes from a perturbed copy.
        augmentation: what else may be changed.
        bucket_size: segments of an update over all devices: those of one update then have similar lengths and are
            padded to the longest of them only; None pads all to segment_frames.
    Raises:
        ConfigError: if the shares of content copies exceed 1, or whole clips are wanted without buckets.
    """

    def __init__(
        self,
        clip_frames: np.ndarray,
        clip_factors: np.ndarray,
        *,
        segment_frames: int | None,
        seed: int,
        perturbed_share: float = 0.0,
        augmentation: AugmentationSettings | None = None,
        bucket_size: int | None = None,
    ) -> None:
        self.augmentation = augmentation or AugmentationSettings()
        shares = (perturbed_share, self.augmentation.noise_share, self.augmentation.room_share)
        if sum(shares) > 1.0 + 1e-9:
            names = "data.perturbed_share + augmentation.noise_share + augmentation.room_share"
            raise ConfigError(f"{names} = {sum(shares):g} is more than 1: a clip's content comes from one copy")
        if segment_frames is None and bucket_size is None:
            raise ConfigError("data.segment_frames=null trains on whole clips, which needs data.bucketing=true")
        self.perturbed_share = perturbed_share
        self._limits = np.cumsum(shares)
        self.clip_frames = clip_frames
        self.segment_frames = segment_frames
        self.seed = seed
        self.per_epoch = segments_per_epoch(clip_frames.tolist(), segment_frames)
        # a short clip gives all its frames in one segment, a long one segment_frames of them: with these weights each
        # frame is read equally often
        amounts = np.ones(len(clip_frames)) if segment_frames is None else np.maximum(clip_frames, segment_frames)
        self._ends = np.cumsum(amounts * clip_factors)
        self._epochs: dict[int, tuple[float, np.ndarray]] = {}
        self._buckets = None
        if bucket_size is not None:
            self._buckets = LengthBuckets(self._lengths, batch_size=bucket_size, seed=seed)

    def segment(self, number: int) -> Segment:
        """Return the segment at a position of the training, from 0 on."""
        planned = number if self._buckets is None else self._buckets.planned(number)
        clip = int(self.clips(np.array([planned]))[0])
        # each choice has its own number, so that another augmentation does not change the other choices
        chance = np.random.default_rng([self.seed, TAG, planned]).random(7)
        change = self.augmentation.change(chance[3:])
        available = int(self.clip_frames[clip])
        wanted = available if self.segment_frames is None else change.frames_before(self.segment_frames)
        frames = min(wanted, available)
        result = change.frames_after(frames)
        return Segment(
            clip=clip,
            first=int(chance[0] * (available - frames + 1)),
            frames=frames,
            result_frames=result if self.segment_frames is None else min(result, self.segment_frames),
            padded_frames=self._padded(number),
            content_kind=("perturbed", "noise", "room", "plain")[
                int(np.searchsorted(self._limits, chance[1], side="right"))
            ],
            copy_choice=float(chance[2]),
            change=change,
        )

    def clips(self, planned: np.ndarray) -> np.ndarray:
        """Return the index of the clip of each segment [N], numbered before they are sorted into buckets."""
        epochs, places = np.divmod(planned, self.per_epoch)
        result = np.empty(len(planned), np.int64)
        last = np.nextafter(self._ends[-1], 0)
        for epoch in np.unique(epochs):
            shift, order = self._epoch(int(epoch))
            here = epochs == epoch
            points = (order[places[here]] + shift) * (self._ends[-1] / self.per_epoch)
            result[here] = np.searchsorted(self._ends, np.minimum(points, last), side="right")
        return result

    def _epoch(self, epoch: int) -> tuple[float, np.ndarray]:
        """Return shift and order of the grid of an epoch."""
        if epoch not in self._epochs:
            while len(self._epochs) >= EPOCHS_KEPT:
                del self._epochs[next(iter(self._epochs))]
            first = np.random.default_rng([self.seed, EPOCH_TAG]).random()
            order = np.random.default_rng([self.seed, EPOCH_TAG, epoch]).permutation(self.per_epoch)
            # the multiples of the golden ratio fill [0, 1) evenly: what one epoch rounds down another rounds up
            self._epochs[epoch] = ((first + epoch * GOLDEN_RATIO) % 1.0, order)
        return self._epochs[epoch]

    def _lengths(self, planned: np.ndarray) -> np.ndarray:
        """Return the usable length of each segment [N]."""
        frames = self.clip_frames[self.clips(planned)]
        return frames if self.segment_frames is None else np.minimum(frames, self.segment_frames)

    def _padded(self, number: int) -> int:
        if self._buckets is None:
            assert self.segment_frames is not None
            return self.segment_frames
        longest = int(np.ceil(self._buckets.longest(number) / self.augmentation.slowest))
        padded = max(longest, LEAST_FRAMES)
        return padded if self.segment_frames is None else min(padded, self.segment_frames)
