"""Recordings as a phone gives them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import phone_recordings
from utils.audio.io import load_audio, save_audio

RATE = 16000


def test_a_phone_has_no_bass_and_no_treble_and_changes_nothing_else(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    save_audio(tmp_path / "good" / "anna" / "1.wav", noise, RATE)

    assert phone_recordings.main([str(tmp_path / "good"), str(tmp_path / "phone")]) == 0

    made = load_audio(tmp_path / "phone" / "anna" / "1.wav", RATE)
    assert len(made) == len(noise)
    power = np.abs(np.fft.rfft(made)) ** 2
    hz = np.fft.rfftfreq(len(made), 1 / RATE)
    inside = power[(hz > 400) & (hz < 3000)].mean()
    assert power[hz < 150].mean() < 0.01 * inside
    assert power[hz > 4200].mean() < 0.01 * inside


def test_an_output_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_audio(tmp_path / "1.wav", np.zeros(RATE, np.float32), RATE)

    assert phone_recordings.main([str(tmp_path), str(tmp_path)]) == 2

    assert "is there already; name another folder" in capsys.readouterr().err
