"""What the pitch network learns from: excerpts of speech and synthesised tones."""

from collections.abc import Sequence

import numpy as np

from recipes.corpora import Corpus
from recipes.examples import PlainAndChanged, SpeakersExcerpts
from recipes.sound_augmentation import SoundAugmentation, smooth_curve
from utils.audio.frames import FEATURE_RATE

SECONDS, BATCH = 2.0, 8
SPEEDS = (0.5, 3.0)
TONE_SHARE = 0.1  # of the excerpts are harmonic tones, for pitches that speech does not reach
TONE_HZ = (55.0, 1050.0)
AUGMENTATION = SoundAugmentation(
    reverb_share=0.15, noise_share=0.65, snr_range_db=(3.0, 40.0), equalizer_db=4.0, level_range_db=(-18.0, 6.0)
)


class PitchExamples(SpeakersExcerpts):
    """Random excerpts of 16 kHz and tones, plain and changed.

    Args:
        corpora: folders; an excerpt's corpus is chosen by its share, then its speaker, then the recording.
        left_out: speakers who are never chosen.
        seed: of all random choices.
        seconds: length of an excerpt.
    Raises:
        DataError: if a corpus has nobody else.
    """

    def __init__(
        self, corpora: Sequence[Corpus], left_out: Sequence[str] = (), seed: int = 0, *, seconds: float = SECONDS
    ) -> None:
        super().__init__(
            corpora, left_out, augmentation=AUGMENTATION, batch_size=BATCH, seed=seed, seconds=seconds, speeds=SPEEDS
        )

    def batch(self) -> PlainAndChanged:
        """Return the next excerpts, plain and changed."""
        return self.with_changes(self.excerpts(), self.rng)

    def excerpt(self) -> np.ndarray:
        """Return the next excerpt or tone [T] float32."""
        if self.rng.random() < TONE_SHARE:
            return random_tone(self.rng, self.num_samples)
        return super().excerpt()


def random_tone(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return a harmonic tone [length] at 16 kHz that glides by up to an octave; its spectrum falls and is uneven."""
    centre = rng.uniform(*np.log2(TONE_HZ))
    curve = 2 ** np.clip(centre + rng.uniform(0, 0.25) * smooth_curve(rng, length, num_knots=8), *np.log2(TONE_HZ))
    number = np.arange(1, int(0.45 * FEATURE_RATE / curve.max()) + 1)
    gains_db = 6 * rng.standard_normal(len(number)) - rng.uniform(3, 12) * np.log2(number)
    angles = 2 * np.pi * np.cumsum(curve) / FEATURE_RATE
    starts = rng.uniform(0, 2 * np.pi, len(number))
    sound = sum(
        10 ** (gain / 20) * np.sin(harmonic * angles + start)
        for harmonic, gain, start in zip(number, gains_db, starts, strict=True)
    )
    swell = 10 ** (6 * smooth_curve(rng, length, num_knots=6) / 20)
    return (0.2 * sound * swell / np.abs(sound * swell).max()).astype(np.float32)
