"""What the causal pitch network learns from: excerpts of speech at random speeds and levels, some with white noise."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.examples import RecordedExcerpts
from utils.audio.listing import list_audio

SECONDS, BATCH = 2.0, 8
SPEEDS = (0.6, 1.7)
LEVELS_DB, NOISE_DB = (-18.0, 6.0), (5.0, 45.0)
NOISY_SHARE = 0.6


class StreamPitchExamples(RecordedExcerpts):
    """Random excerpts of one corpus at 16 kHz, changed in speed, level and noise.

    Args:
        corpus: folder of recordings.
        seed: of all random choices.
        seconds: length of an excerpt.
    Raises:
        DataError: if the corpus has no recordings.
    """

    def __init__(self, corpus: Path, seed: int, *, seconds: float = SECONDS) -> None:
        super().__init__({corpus.name: 1.0}, batch_size=BATCH, seed=seed, seconds=seconds, speeds=SPEEDS)
        self._paths = list_audio(corpus)

    def choose_recording(self) -> Path:
        """Return any recording of the corpus."""
        return self._paths[self.rng.integers(len(self._paths))]

    def excerpt(self) -> np.ndarray:
        """Return the next excerpt [T] float32 at a random level, perhaps with noise."""
        audio = super().excerpt() * 10 ** (self.rng.uniform(*LEVELS_DB) / 20)
        if self.rng.random() < NOISY_SHARE:
            level = np.sqrt(np.mean(np.square(audio)) + 1e-12) * 10 ** (-self.rng.uniform(*NOISE_DB) / 20)
            audio = audio + level * self.rng.standard_normal(len(audio))
        return audio.astype(np.float32)

    def batch(self) -> Tensor:
        """Return the next excerpts [B, T]; teacher and student are given the same sound."""
        return torch.from_numpy(np.stack(self.excerpts()))
