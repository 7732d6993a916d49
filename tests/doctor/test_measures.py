"""Each measure sees its own fault, and a clean voice has none."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.doctor_plants import PLANTS, Plant, planted
from utils.audio.io import resample
from utils.audio.synthetic_speech import voice
from utils.doctor.facts import FileFacts
from utils.doctor.measures import bandwidth_hz, measure_file, measure_sound
from utils.doctor.rules import find_in_file
from utils.errors import DataError

RATE = 48000
NEEDS_RECORDINGS = ("babble", "other_speaker")  # benchmarks/doctor.py plants these


def speech() -> np.ndarray:
    """Return recorded() to change."""
    return recorded().copy()


@cache
def recorded(seconds: float = 4.0) -> np.ndarray:
    """Syllables with pauses and a little breath, on a faint noise: a recording in a quiet room."""
    rng = np.random.default_rng(0)
    sound = voice(seconds, RATE, f0_hz=150.0)
    breath = rng.standard_normal(len(sound)) * np.sqrt(np.abs(sound)) * 0.01
    gate = np.repeat(np.tile([1.0, 1.0, 0.0], 100), RATE // 5)[: len(sound)]
    return ((sound + breath) * gate + 1e-5 * rng.standard_normal(len(sound))).astype(np.float32)


def found(samples: np.ndarray, voiced: float = 1.0) -> set[str]:
    """Return the rules that find something in samples [T] or [T, C]."""
    seconds = len(samples) / RATE
    sound = measure_sound(samples.reshape(len(samples), -1), RATE)
    return {item.rule for item in find_in_file(FileFacts("a.wav", "a", seconds, voiced * seconds, sound=sound))}


@pytest.mark.slow
def test_a_clean_voice_has_no_finding() -> None:
    assert found(speech()) == set()


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant.__name__ not in NEEDS_RECORDINGS])
def test_a_planted_fault_is_found(plant: Plant) -> None:
    assert PLANTS[plant] in found(planted(plant, speech(), RATE, 0, []))


@pytest.mark.parametrize("limit_hz", [4000, 8000, 11025])
def test_bandwidth_is_that_of_the_lower_rate(limit_hz: int) -> None:
    narrow = resample(resample(speech(), RATE, 2 * limit_hz), 2 * limit_hz, RATE)
    assert bandwidth_hz(narrow.astype(np.float64), RATE) == pytest.approx(limit_hz, rel=0.15)


def test_bandwidth_of_a_full_recording_is_half_its_rate() -> None:
    assert bandwidth_hz(speech().astype(np.float64), RATE) == RATE / 2


def test_a_whisper_is_told_by_its_missing_pitch() -> None:
    assert found(speech(), voiced=0.05) == {"whisper"}


@pytest.mark.parametrize("samples", [np.zeros((0, 1)), np.zeros((10, 2)), np.zeros((RATE, 1)), np.ones((RATE, 1))])
def test_measures_of_nothing_are_finite(samples: np.ndarray) -> None:
    measures = measure_sound(samples.astype(np.float32), RATE)
    assert all(np.isfinite(value) for value in vars(measures).values())


def test_one_clipped_channel_is_found() -> None:
    good = speech()
    assert "clipping" in found(np.stack([good, np.clip(good * 10, -0.9, 0.9)], axis=1))


def test_no_sound_is_an_error_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with pytest.raises(DataError, match=r"a\.wav"):
        measure_file(path)


def test_an_offset_anywhere_in_a_long_recording_counts() -> None:
    audio = np.tile(speech(), 5)
    audio[: RATE * 10] += 0.05
    assert measure_sound(audio[:, None], RATE).dc == pytest.approx(0.05 * 10 / 20, rel=0.05)


@pytest.mark.parametrize(("similarity", "rules"), [(0.55, ["speaker"]), (0.85, []), (None, [])])
def test_a_low_similarity_is_another_speaker(similarity: float | None, rules: list[str]) -> None:
    assert [item.rule for item in find_in_file(FileFacts("a.wav", "a", 4, 4, similarity=similarity))] == rules
