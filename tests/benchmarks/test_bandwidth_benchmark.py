"""Levels by band are those of the sound."""

import numpy as np
import pytest

from benchmarks.bandwidth import BANDS_HZ, levels_of

RATE = 48000


def band_noise(edges: tuple[int, int], rate: int = RATE) -> np.ndarray:
    """Return a second of noise of equal density between two frequencies."""
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(rate))
    frequency = np.arange(len(spectrum))
    spectrum[(frequency < edges[0]) | (frequency >= edges[1])] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


def test_levels_are_beside_that_of_1_to_4_khz() -> None:
    sound = band_noise((0, 7800)) + 0.1 * band_noise((8200, 15800))

    levels = levels_of([sound, np.zeros(RATE, np.float32)], RATE)

    assert levels[:3] == pytest.approx([0.0, -20.0, -20.0], abs=1.0)
    assert levels[3] is not None and levels[3] < -40


def test_bands_above_half_the_rate_have_no_level() -> None:
    assert [level is None for level in levels_of([band_noise((0, 12000), 24000)], 24000)] == [
        high > 12000 for _, high in BANDS_HZ
    ]
