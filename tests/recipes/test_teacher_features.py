"""The teacher's features: level, frames, and the file that keeps them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.content_encoder.teacher import TEACHER_CENTRE, TEACHER_HOP, align, set_level
from recipes.content_encoder.teacher_features import load_features, minutes_table, save_features
from tests.tools.content_encoder_tools import made_up_features


def test_teacher_frame_in_the_middle_of_a_student_frame_is_taken_as_it_is() -> None:
    features = np.arange(50, dtype=float)[:, None]

    # the centre of student frame k is at (2k + 1) * 160 samples
    aligned = align(features, 40)

    for index in (10, 25, 39):
        expected = ((2 * index + 1) * 160 - TEACHER_CENTRE) / TEACHER_HOP
        assert aligned[index, 0] == pytest.approx(expected)


def test_level_is_set_and_silence_stays_finite() -> None:
    audio = np.sin(np.arange(16000) / 10).astype(np.float32) * 0.01

    assert np.sqrt(np.mean(np.square(set_level(audio)))) == pytest.approx(0.06, rel=1e-3)
    assert not set_level(np.zeros(100, np.float32)).any()


def test_features_survive_the_file(tmp_path: Path) -> None:
    features = made_up_features()

    save_features(tmp_path / "features.pt", features)
    again = load_features(tmp_path / "features.pt")

    assert again.shares == features.shares
    assert [clip.recording for clip in again.clips] == [clip.recording for clip in features.clips]
    torch.testing.assert_close(again.clips[3].audio, features.clips[3].audio)


def test_minutes_are_listed_apart_for_held_out_speakers() -> None:
    lines = minutes_table(made_up_features().clips).splitlines()

    assert [line.split()[:2] for line in lines[2:]] == [["en", "held"], ["en", "training"]]
