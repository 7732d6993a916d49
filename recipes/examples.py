"""What the trainings of all recipes share: examples that are sampled from corpora, plain and changed."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
from torch import Tensor

from recipes.corpora import Corpus, list_recordings
from recipes.sound_augmentation import SoundAugmentation, augment
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio
from utils.errors import DataError

MARGIN = 400  # samples that are read beyond an excerpt, for the filter of the resampler


class PlainAndChanged(NamedTuple):
    """Audio [B, T] at 16 kHz as it is (but for its speed), and with its sound changed."""

    plain: Tensor
    changed: Tensor


class TrainingExamples:
    """Samples examples: a corpus by its share, then something of that corpus, then random changes of its sound.

    Args:
        shares: corpus -> part of the examples that come from it, relative to the others.
        batch_size: examples in a batch.
        augmentation: the changes.
    """

    def __init__(
        self, shares: Mapping[str, float], *, batch_size: int, augmentation: SoundAugmentation | None = None
    ) -> None:
        self.batch_size, self.augmentation = batch_size, augmentation or SoundAugmentation()
        self._corpora = list(shares)
        self._chances = np.array(list(shares.values())) / sum(shares.values())

    def choose_corpus(self, rng: np.random.Generator) -> str:
        """Return the name of a corpus, by its share."""
        return self._corpora[int(rng.choice(len(self._chances), p=self._chances))]

    def with_changes(self, plain: Sequence[np.ndarray], rng: np.random.Generator) -> PlainAndChanged:
        """Return sounds [T] of one length as a batch, and a batch of changed copies."""
        changed = [augment(audio, rng, self.augmentation) for audio in plain]
        return PlainAndChanged(torch.from_numpy(np.stack(plain)), torch.from_numpy(np.stack(changed)))


class RecordedExcerpts(TrainingExamples, ABC):
    """Samples excerpts of recordings, each at a random speed; a subclass says of which recording.

    Args:
        shares: see TrainingExamples.
        batch_size: see TrainingExamples.
        seed: of all random choices.
        seconds: length of an excerpt.
        speeds: lowest and highest speed; its logarithm is uniform.
        augmentation: see TrainingExamples.
    """

    def __init__(
        self,
        shares: Mapping[str, float],
        *,
        batch_size: int,
        seed: int,
        seconds: float,
        speeds: tuple[float, float],
        augmentation: SoundAugmentation | None = None,
    ) -> None:
        super().__init__(shares, batch_size=batch_size, augmentation=augmentation)
        self.rng = np.random.default_rng(seed)
        self.loaded: dict[Path, np.ndarray] = {}
        self.num_samples = round(seconds * FEATURE_RATE)
        self._log_speeds = np.log(speeds)

    @abstractmethod
    def choose_recording(self) -> Path:
        """Return the recording of the next excerpt."""

    def excerpt(self) -> np.ndarray:
        """Return the next excerpt [T] float32; silence follows a recording that is too short."""
        audio = self._load(self.choose_recording())
        speed = math.exp(self.rng.uniform(*self._log_speeds))
        needed = int(self.num_samples * speed) + MARGIN
        start = self.rng.integers(max(1, len(audio) - needed))
        part = soxr.resample(audio[start : start + needed], FEATURE_RATE, FEATURE_RATE / speed, quality="HQ")
        part = part[: self.num_samples]
        return np.pad(part, (0, self.num_samples - len(part))).astype(np.float32)

    def excerpts(self) -> list[np.ndarray]:
        """Return the excerpts of the next batch, [T] each."""
        return [self.excerpt() for _ in range(self.batch_size)]

    def _load(self, path: Path) -> np.ndarray:
        if path not in self.loaded:
            self.loaded[path] = load_audio(path, FEATURE_RATE)
        return self.loaded[path]


class SpeakersExcerpts(RecordedExcerpts):
    """Samples excerpts of corpora: a corpus by its share, then a speaker of it, then a recording.

    Args:
        corpora: folders of recordings with their shares.
        left_out: speakers who are never chosen.
        batch_size: see TrainingExamples.
        seed: see RecordedExcerpts; so seconds and speeds.
        augmentation: see TrainingExamples.
    Raises:
        DataError: if a corpus has nobody else.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        left_out: Sequence[str],
        *,
        batch_size: int,
        seed: int,
        seconds: float,
        speeds: tuple[float, float],
        augmentation: SoundAugmentation | None = None,
    ) -> None:
        shares = {corpus.name: corpus.share for corpus in corpora}
        super().__init__(
            shares, batch_size=batch_size, seed=seed, seconds=seconds, speeds=speeds, augmentation=augmentation
        )
        self._speakers: dict[str, dict[str, list[Path]]] = {name: {} for name in shares}
        for item in list_recordings(corpora, {}):
            if item.speaker not in left_out:
                self._speakers[item.corpus].setdefault(item.speaker, []).append(item.path)
        empty = [name for name, speakers in self._speakers.items() if not speakers]
        if empty:
            raise DataError(f"corpora.{empty[0]} has nobody else than the speakers of leave_out")

    def choose_recording(self) -> Path:
        """Return a recording of a random speaker of a random corpus."""
        speakers = self._speakers[self.choose_corpus(self.rng)]
        paths = speakers[list(speakers)[self.rng.integers(len(speakers))]]
        return paths[self.rng.integers(len(paths))]
