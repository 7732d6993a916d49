"""A small stand-in for the teacher of the content encoder, whose package is not installed for tests."""

from pathlib import Path

import numpy as np
import pytest

from recipes.content_encoder import teacher_content
from recipes.content_encoder.teacher import TEACHER_CENTRE, TEACHER_HOP
from recipes.content_encoder.teacher_content import write_statistics
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice

DIM = 6
WEIGHTS = b"weights of the teacher"


class FakeTeacher:
    """Features of TEACHER_HOP samples: the position of the frame's centre, its energy, and functions of its samples."""

    def encode(self, audio: np.ndarray) -> np.ndarray:
        assert audio.dtype == np.float32 and len(audio) >= 8000
        count = len(audio) // TEACHER_HOP - 1
        frames = np.lib.stride_tricks.sliding_window_view(audio, 2 * TEACHER_HOP)[::TEACHER_HOP][:count]
        position = TEACHER_CENTRE + TEACHER_HOP * np.arange(count)
        waves = [np.square(frames).mean(axis=1), *(100 * frames[:, index] for index in range(4))]
        return np.stack([position, *waves], axis=1).astype(np.float32)


def write_stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a small teacher in the place of the real one; returns a file of its statistics over a recording."""
    weights = folder / "encoder_model.ort"
    weights.write_bytes(WEIGHTS)
    monkeypatch.setattr(teacher_content, "MoonshineEncoder", FakeTeacher)
    monkeypatch.setattr(teacher_content, "moonshine_weights", lambda: weights)
    save_audio(folder / "speech/a.wav", voice(3.0), 16000)
    write_statistics([folder / "speech/a.wav"], folder / "statistics.safetensors")
    return folder / "statistics.safetensors"
