"""Training examples: each one a function of the seed and its number, so that a resumed run sees the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from utils.audio.batch import VoiceBatch
from utils.audio.loudness import FLOOR_DB
from utils.corpus.manifest import Clip
from utils.corpus.split import Split
from utils.corpus.store import CorpusStore
from utils.errors import DataError


@dataclass(frozen=True)
class VoiceExample:
    """A stretch of a clip, F frames; F is the same for all examples of a dataset with segments.

    Attributes:
        audio: [F * hop_length] float32.
        content: [F, D] float32.
        f0_hz: [F] float32, 0 in unvoiced frames.
        loudness_db: [F] float32.
        speaker_id: index of the speaker.
        num_frames: frames that are not padding.
        draw: number of the example in its dataset.
    """

    audio: np.ndarray
    content: np.ndarray
    f0_hz: np.ndarray
    loudness_db: np.ndarray
    speaker_id: int
    num_frames: int
    draw: int


class VoiceConversionDataset(Dataset[VoiceExample]):
    """Random segments to train on, or whole clips to judge by.

    With segments, item i is a draw that depends on (seed, i) alone, for every i >= 0, also beyond len(): every second
    of audio is equally likely. A clip shorter than a segment is padded at its end: content and f0 with 0, audio with
    silence, loudness with its floor.
    Without segments, item i is the start of clip i, clips sorted from short to long.

    Args:
        store: the dataset.
        split: "train" or "val".
        segment_frames: length of a segment; None gives whole clips.
        seed: of the draws.
        perturbed_share: part of the draws whose content comes from a copy with another vocal tract.
        max_frames: cut whole clips to at most so many frames; None leaves them whole.
    Raises:
        DataError: if the split has no clips.
    """

    def __init__(
        self,
        store: CorpusStore,
        split: Split,
        *,
        segment_frames: int | None,
        seed: int,
        perturbed_share: float = 0.0,
        max_frames: int | None = None,
    ) -> None:
        self.store = store
        self.segment_frames = segment_frames
        self.seed = seed
        self.perturbed_share = perturbed_share
        self.max_frames = max_frames
        self.clips: list[Clip] = store.split(split)
        if not self.clips:
            raise DataError(f"{store.path} has no clips to {'train on' if split == 'train' else 'judge by (held out)'}")
        if segment_frames is None:
            self.clips.sort(key=lambda clip: (clip.num_frames, clip.id))
        else:
            # a short clip gives its frames in one draw where a long one gives segment_frames of them: with these
            # weights each frame is drawn equally often
            weights = np.array([max(clip.num_frames, segment_frames) for clip in self.clips], dtype=np.int64)
            self._ends = np.cumsum(weights)

    def __len__(self) -> int:
        """Return the number of clips; with segments, the number of segments that the audio would fill."""
        if self.segment_frames is None:
            return len(self.clips)
        return int(-(-self._ends[-1] // self.segment_frames))

    def __getitem__(self, index: int) -> VoiceExample:
        """Return example `index`."""
        if self.segment_frames is None:
            clip = self.clips[index]
            frames = clip.num_frames if self.max_frames is None else min(clip.num_frames, self.max_frames)
            return self._example(clip, 0, frames, frames, "content", draw=index)
        rng = np.random.default_rng([self.seed, index])
        clip = self.clips[int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))]
        first = int(rng.integers(max(0, clip.num_frames - self.segment_frames) + 1))
        is_perturbed, which = rng.random() < self.perturbed_share, rng.random()
        count = self.store.num_perturbed
        name = f"content_perturbed_{int(which * count)}" if is_perturbed and count else "content"
        frames = min(self.segment_frames, clip.num_frames)
        return self._example(clip, first, frames, self.segment_frames, name, draw=index)

    def _example(
        self, clip: Clip, first: int, frames: int, padded_frames: int, content: str, *, draw: int
    ) -> VoiceExample:
        missing = padded_frames - frames
        loudness_db = self.store.feature("loudness_db", clip, first, frames)
        return VoiceExample(
            audio=_pad(self.store.waveform(clip, first, frames), missing * self.store.audio.hop_length),
            content=_pad(self.store.feature(content, clip, first, frames), missing),
            f0_hz=_pad(self.store.feature("f0_hz", clip, first, frames), missing),
            loudness_db=_pad(loudness_db, missing, FLOOR_DB),
            speaker_id=self.store.speaker_id(clip),
            num_frames=frames,
            draw=draw,
        )


def collate(examples: Sequence[VoiceExample]) -> VoiceBatch:
    """Stack examples; shorter ones are padded at the end to the longest."""
    frames = max(len(item.f0_hz) for item in examples)
    hop = len(examples[0].audio) // len(examples[0].f0_hz)

    def stack(arrays: list[np.ndarray], length: int, value: float = 0.0) -> torch.Tensor:
        return torch.from_numpy(np.stack([_pad(array, length - len(array), value) for array in arrays]))

    return VoiceBatch(
        audio=stack([item.audio for item in examples], frames * hop),
        content=stack([item.content for item in examples], frames),
        f0_hz=stack([item.f0_hz for item in examples], frames),
        loudness_db=stack([item.loudness_db for item in examples], frames, FLOOR_DB),
        speaker_id=torch.tensor([item.speaker_id for item in examples], dtype=torch.int64),
        num_frames=torch.tensor([item.num_frames for item in examples], dtype=torch.int64),
        draw=torch.tensor([item.draw for item in examples], dtype=torch.int64),
    )


def _pad(array: np.ndarray, missing: int, value: float = 0.0) -> np.ndarray:
    """Append `missing` rows of a value to [F, ...]."""
    if not missing:
        return array
    return np.pad(array, [(0, missing), *[(0, 0)] * (array.ndim - 1)], constant_values=value)
