"""What an encoder learns about cuts from: excerpts, and windows of them that begin and end anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recipes.corpora import Corpus
from recipes.examples import SpeakersExcerpts
from recipes.sound_augmentation import augment
from utils.audio.frames import FEATURE_HOP
from utils.features.content.network import FRAME_SAMPLES

SECONDS, BATCH = 3.0, 8
SPEEDS = (0.8, 1.25)
CHANGED_SHARE = 0.5  # of the excerpts are heard in another room, with noise, another colour and level
WINDOW_HOPS = (10, 60)  # of 10 ms
# frames of the excerpt that windows are taken from: the teacher hears more than half a second on either side
FIRST_FRAME, LAST_FRAME = 30, 120


class CutBatch(NamedTuple):
    """Excerpts, and what the pupil hears of them.

    Attributes:
        whole: [B, T] at 16 kHz, as they were recorded but for their speed.
        heard: [B * N, S], N windows of each excerpt, perhaps changed; one that is the whole excerpt in some batches.
        frames: [N, K] int64, the frames of 20 ms of the excerpt that each window's lie on.
        is_whole: whether the windows are the excerpts.
    """

    whole: Tensor
    heard: Tensor
    frames: Tensor
    is_whole: bool


class CutExamples(SpeakersExcerpts):
    """Samples excerpts and windows; the same seed and update always give the same batch, so a run continues exactly.

    Args:
        corpora: folders of recordings with their shares.
        left_out: speakers who are never chosen.
        seed: of all random choices.
        whole_share: of the batches are heard whole.
        shortest_share: of the others have windows of the shortest length.
        batch_size: excerpts a batch.
    Raises:
        DataError: if a corpus has nobody else.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        left_out: Sequence[str] = (),
        seed: int = 0,
        *,
        whole_share: float = 0.3,
        shortest_share: float = 0.0,
        batch_size: int = BATCH,
    ) -> None:
        super().__init__(corpora, left_out, batch_size=batch_size, seed=seed, seconds=SECONDS, speeds=SPEEDS)
        self.seed, self._whole_share, self._shortest_share = seed, whole_share, shortest_share

    def batch(self, update: int) -> CutBatch:
        """Return the batch of an update."""
        self.rng = np.random.default_rng([self.seed, update])
        is_whole = self.rng.random() < self._whole_share
        hops = int(self.rng.integers(WINDOW_HOPS[0], WINDOW_HOPS[1] + 1))
        # nothing is drawn without a share, so that a training begun before there was one goes on the same
        is_shortest = self._shortest_share > 0 and self.rng.random() < self._shortest_share
        hops = WINDOW_HOPS[0] if is_shortest else hops
        plain = self.excerpts()
        heard = [
            augment(audio, self.rng, self.augmentation) if self.rng.random() < CHANGED_SHARE else audio
            for audio in plain
        ]
        windows = whole_windows(heard) if is_whole else cut_windows(heard, hops)
        return CutBatch(torch.from_numpy(np.stack(plain)), *windows, is_whole)


class Windows(NamedTuple):
    """Windows [B * N, S] of excerpts, and the frames [N, K] of an excerpt that they lie on."""

    heard: Tensor
    frames: Tensor


def whole_windows(audio: Sequence[np.ndarray]) -> Windows:
    """Return excerpts [T] as windows of themselves."""
    heard = torch.from_numpy(np.stack(audio))
    return Windows(heard, torch.arange(heard.shape[1] // FRAME_SAMPLES)[None])


def cut_windows(audio: Sequence[np.ndarray], hops: int) -> Windows:
    """Cut excerpts [T] into windows of so many hops of 10 ms, one behind the other; frames only partly within end them.

    An excerpt begins at any sample of its recording, so its windows do.
    """
    count = -(-hops // (FRAME_SAMPLES // FEATURE_HOP))
    starts = range(FIRST_FRAME, LAST_FRAME - count + 1, count)
    length = hops * FEATURE_HOP
    parts = [item[start * FRAME_SAMPLES :][:length] for item in audio for start in starts]
    frames = torch.tensor(starts)[:, None] + torch.arange(count)
    return Windows(torch.from_numpy(np.stack(parts)), frames)
