"""Delay, likeness, seams and spectra of conversions."""

import numpy as np
import pytest

from tests.tools.planted_graphs import RATE
from utils.verification.alignment import copy_likeness, level_delay, seam_scores, spectral_difference_db


@pytest.mark.parametrize("late", [0, 3, 80, -24])
def test_delay_is_measured_to_a_tenth_of_a_millisecond(late: int) -> None:
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0, 1, 200), RATE // 50)
    one, other = (envelope * rng.standard_normal(len(envelope)) for _ in range(2))

    delay = level_delay(one, np.roll(one, late), RATE)

    assert delay.seconds == pytest.approx(late / RATE, abs=1e-4)
    assert delay.correlation > 0.99
    assert abs(level_delay(one, np.roll(other, late), RATE).seconds - late / RATE) < 2e-3


def test_copies_are_told_from_other_signals() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, RATE))

    assert copy_likeness(one, np.roll(-0.2 * one, 40), RATE) > 0.98
    assert copy_likeness(one, other, RATE) < 0.1


def test_seams_and_spectra_are_zero_for_equal_conversions() -> None:
    audio = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    stepped = audio + 10 * (np.arange(RATE) // 800 % 2).astype(np.float32)

    even, rough = seam_scores(audio, audio, 800), seam_scores(audio, stepped, 800)
    assert (even.jump_db, even.step_db) == (pytest.approx(0, abs=3), pytest.approx(3, abs=3))
    assert (rough.jump_db, rough.step_db) == (pytest.approx(17, abs=2), pytest.approx(20, abs=2))
    assert spectral_difference_db(audio, audio, RATE) == 0
    assert spectral_difference_db(audio, 0.5 * audio, RATE) == pytest.approx(20 * np.log10(2), abs=0.2)
