"""Loudness by ITU-R BS.1770-4."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from utils.audio.synthetic_speech import voice
from utils.corpus.leveling import LoudnessMeter, file_gain_db, k_weighting

RATE = 48000


def sine(seconds: float, peak: float, rate: int = RATE) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * 997 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def loudness(*pieces: np.ndarray, rate: int = RATE) -> float:
    meter = LoudnessMeter(rate)
    for piece in pieces:
        meter.update(piece)
    return meter.loudness_lufs()


def test_k_weighting_equals_the_table_of_the_standard_at_48_khz() -> None:
    # BS.1770-4, tables 1 and 2
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    highpass = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]

    assert_allclose(k_weighting(48000), [shelf, highpass], atol=1e-7)


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_full_scale_sine_of_997_hz_measures_minus_three(rate: int) -> None:
    # BS.1770-4: such a sine in one channel reads -3.01 LKFS
    assert loudness(sine(2.0, 1.0, rate), rate=rate) == pytest.approx(-3.01, abs=0.05)


def test_loudness_does_not_depend_on_the_blocks_of_arrival() -> None:
    sound = voice(2.0, RATE)

    assert loudness(*np.array_split(sound, 37)) == pytest.approx(loudness(sound), abs=1e-6)


def test_long_silence_does_not_lower_the_loudness() -> None:
    sound = sine(2.0, 0.1)

    # 17 blocks full of the sine and three that are 75, 50 and 25 % full pass the relative gate
    expected = loudness(sound) + 10 * math.log10(18.5 / 20)
    assert loudness(sound, np.zeros(20 * RATE, np.float32)) == pytest.approx(expected, abs=0.05)


def test_silence_has_no_loudness() -> None:
    assert loudness(np.zeros(RATE, np.float32)) == -math.inf


def test_sound_shorter_than_a_block_is_measured() -> None:
    assert loudness(sine(0.2, 0.1)) == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize(
    ("loudness_lufs", "peak", "expected"),
    [(-30.0, 0.1, 7.0), (-30.0, 0.8, -1 - 20 * math.log10(0.8)), (-70.0, 1e-4, 40.0), (-10.0, 1.0, -13.0)],
    ids=["to target", "limited by peak", "limited by largest gain", "down"],
)
def test_file_gain(loudness_lufs: float, peak: float, expected: float) -> None:
    gain = file_gain_db(loudness_lufs, peak, target_lufs=-23.0, peak_db=-1.0, max_gain_db=40.0)

    assert gain == pytest.approx(expected)
