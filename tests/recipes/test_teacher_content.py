"""The teacher's features as content of a voice: frames, levels, identity, and the file of statistics."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipes.content_encoder import teacher_content
from recipes.content_encoder.teacher import TEACHER_CENTRE, TEACHER_HOP
from recipes.content_encoder.teacher_content import (
    TeacherContent,
    read_statistics,
    teacher_features,
    write_statistics,
)
from tests.tools.teacher_tools import DIM, FakeTeacher, write_stand_in
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.errors import ConfigError, DataError, FormatError
from utils.files import sha256_of_file


@pytest.fixture
def statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_stand_in(tmp_path, monkeypatch)


@pytest.mark.parametrize("frames", [0, 1, 2, 49, 50, 51, 333])
def test_the_teacher_gives_a_vector_of_the_agreed_length_every_ten_milliseconds(statistics: Path, frames: int) -> None:
    encoder = TeacherContent(statistics=str(statistics))
    audio = voice(4.0)[: frames * 160]

    features = encoder.encode(audio)

    assert features.shape == (frames, DIM) and features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), math.sqrt(DIM), rtol=1e-5)
    np.testing.assert_array_equal(encoder.encode(audio), features)
    assert not encoder.is_exportable


def test_frames_are_where_the_sound_is() -> None:
    found = teacher_features(FakeTeacher(), voice(2.0))  # type: ignore[arg-type]

    centres = 160 * (np.arange(200) + 0.5)
    inside = (centres > TEACHER_CENTRE) & (centres < 32000 - 3 * TEACHER_HOP)
    np.testing.assert_allclose(found[inside, 0], centres[inside], atol=0.01)


def test_rows_of_a_batch_do_not_see_each_other(statistics: Path) -> None:
    encoder = TeacherContent(statistics=str(statistics))
    both = torch.from_numpy(np.stack([voice(1.0, seed=1), 0.1 * voice(1.0, seed=2)]))

    batch = encoder(both)

    torch.testing.assert_close(batch[0], encoder(both[:1])[0], atol=0, rtol=0)
    torch.testing.assert_close(batch[1], encoder(10 * both[1:])[0], atol=1e-4, rtol=0)  # whatever the level


def test_components_count_alike_before_the_length_is_set(
    statistics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, deviation = read_statistics(statistics)

    found = teacher_features(FakeTeacher(), soundfile.read(tmp_path / "speech/a.wav", dtype="float32")[0])  # type: ignore[arg-type]
    standard = (torch.from_numpy(found).double() - mean) / deviation
    encoder = TeacherContent(statistics=str(statistics))
    steady = np.tile(mean + 2 * deviation, (99, 1))
    monkeypatch.setattr(encoder.teacher, "encode", lambda audio: steady)

    np.testing.assert_allclose(standard.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(dim=0, correction=0), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(voice(0.5)), 1, atol=1e-4)


def test_the_identity_names_version_weights_and_statistics(statistics: Path, tmp_path: Path) -> None:
    first = TeacherContent(statistics=str(statistics)).identity

    assert first == {
        "id": "moonshine",
        "version": "0.0.69",
        "weights_sha256": sha256_of_file(tmp_path / "encoder_model.ort"),
        "statistics_sha256": sha256_of_file(statistics),
        "dim": DIM,
    }
    (tmp_path / "encoder_model.ort").write_bytes(b"others")
    assert TeacherContent(statistics=str(statistics)).identity["weights_sha256"] != first["weights_sha256"]
    save_audio(tmp_path / "b.wav", voice(2.0, seed=1), 16000)
    write_statistics([tmp_path / "b.wav"], statistics)
    assert TeacherContent(statistics=str(statistics)).identity["statistics_sha256"] != first["statistics_sha256"]


def test_statistics_that_are_absent_or_something_else_are_refused(statistics: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a file; make it: python -m"):
        TeacherContent(statistics=str(tmp_path / "nowhere"))
    statistics.write_bytes(b"something else")
    with pytest.raises(FormatError, match="was not written by recipes"):
        TeacherContent(statistics=str(statistics))


def test_recordings_without_any_sound_give_no_statistics(statistics: Path, tmp_path: Path) -> None:
    save_audio(tmp_path / "silence.wav", np.zeros(16000, np.float32), 16000)

    assert teacher_content.main(["--recordings", str(tmp_path / "speech"), "--output", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new").read_bytes() == statistics.read_bytes()
    with pytest.raises(DataError, match="without any change"):
        write_statistics([tmp_path / "silence.wav"], tmp_path / "none")
    assert not (tmp_path / "none").exists()
