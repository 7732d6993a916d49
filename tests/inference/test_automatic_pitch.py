"""pitch_shift=auto and auto_octave: how far a recording is moved, and when it is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.standin_voice import RATE, export_standin
from utils.audio.synthetic_speech import voice
from utils.config.test_model import convert_job
from utils.errors import ConfigError
from utils.inference.measures import Pitch, automatic_shift
from utils.inference.trial import run_trial

MIDDLE_A = Pitch(np.full(100, 440.0))


@pytest.mark.parametrize(
    ("target_hz", "semitones", "octaves"),
    [(440.0, 0, 0), (470.0, 1, 0), (640.0, 6, 12), (300.0, -7, -12), (110.0, -24, -24)],
)
def test_pitch_is_moved_by_whole_semitones_or_octaves(target_hz: float, semitones: int, octaves: int) -> None:
    assert automatic_shift(MIDDLE_A, target_hz) == semitones
    assert automatic_shift(MIDDLE_A, target_hz, 12) == octaves


@pytest.mark.parametrize(
    ("num_voiced", "num_frames", "semitones"), [(9, 20, 0), (10, 20, 12), (40, 1000, 0), (60, 1000, 12)]
)
def test_pitch_of_which_little_is_voiced_is_left(num_voiced: int, num_frames: int, semitones: int) -> None:
    pitch = Pitch(np.where(np.arange(num_frames) < num_voiced, 220.0, 0.0))

    assert automatic_shift(pitch, 440.0) == semitones


def converted(folder: Path, audio: np.ndarray, pitch_shift: str) -> tuple[dict[str, Any], list[str]]:
    soundfile.write(folder / "song.wav", audio, RATE)
    lines: list[str] = []
    (folder / "voice").mkdir()
    graph = export_standin(folder / "voice").path
    values = {
        "onnx": str(graph),
        "audio.path": str(folder / "song.wav"),
        "output": str(folder / "out"),
        "pitch_shift": pitch_shift,
    }
    report = run_trial(convert_job(["threads=1"]).with_values(values), lines.append)
    (row,) = report["files"]
    return row, lines


@pytest.mark.parametrize(("pitch_shift", "step"), [("auto", 1), ("auto_octave", 12)])
def test_trial_moves_a_recording_in_steps(tmp_path: Path, pitch_shift: str, step: int) -> None:
    row, _ = converted(tmp_path, voice(2.0, RATE, f0_hz=61.0), pitch_shift)

    assert row["controls"]["pitch_shift"] % step == 0
    assert row["controls"]["pitch_shift"] != 0
    assert row["note"] is None


def test_trial_says_that_a_pitch_is_not_known(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)

    row, lines = converted(tmp_path, noise, "auto")

    assert row["controls"]["pitch_shift"] == 0
    assert row["note"] == "too little of it is voiced to tell its pitch, which is left as it is"
    assert lines[0].endswith(f"({row['note']})")


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="pitch_shift=auto_song must be auto, auto_octave or a number"):
        convert_job(["pitch_shift=auto_song"])
