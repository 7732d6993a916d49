"""The probe reads letters off features that show them, and not off features that do not."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import content_probe
from benchmarks.content_peers import Peer
from benchmarks.content_probe import Utterance, at_probe_rate, probe_error, read_material
from tests.synthetic_speech import voice
from utils.audio.io import save_audio
from utils.errors import DataError

LETTERS = "abc d"
FRAMES_PER_LETTER = 4


def utterances(count: int, seed: int) -> list[Utterance]:
    """Made-up texts; the audio is the sequence of letter numbers, four samples each."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list(LETTERS), 12)) for _ in range(count)]
    return [
        Utterance(
            str(index),
            np.repeat([LETTERS.index(letter) for letter in text], FRAMES_PER_LETTER).astype(np.float32),
            text,
        )
        for index, text in enumerate(texts)
    ]


def plain(audio: np.ndarray) -> np.ndarray:
    """Features that name the letter and mark its first frame."""
    features = np.eye(len(LETTERS) + 1, dtype=np.float32)[audio.astype(int)]
    features[::FRAMES_PER_LETTER, -1] = 1
    return features


def noise(audio: np.ndarray) -> np.ndarray:
    """Features that know nothing."""
    return np.random.default_rng(len(audio)).standard_normal((len(audio), 6)).astype(np.float32)


def test_plain_features_are_read_and_noise_is_not() -> None:
    train, test = utterances(160, seed=0), utterances(20, seed=1)

    assert probe_error(Peer(plain, 50), train, test) < 0.05
    assert probe_error(Peer(noise, 50), train, test) > 0.6


def test_fast_features_are_taken_in_pairs() -> None:
    features = np.arange(10, dtype=float).reshape(5, 2)

    assert at_probe_rate(features, 100).tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert at_probe_rate(features, 41.7) is features


def test_material_is_what_has_a_text(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        save_audio(tmp_path / name, voice(0.5), 16000)
    (tmp_path / "transcripts.json").write_text(json.dumps({"a.wav": "Hello, World!"}))

    found = read_material(tmp_path, "en", tmp_path / "cache")

    assert [(item.name, item.text) for item in found] == [("a.wav", "hello world")]


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    save_audio(tmp_path / "a.wav", voice(0.5), 16000)
    (tmp_path / "transcripts.json").write_text("{}")

    with pytest.raises(DataError, match="no recording has a text"):
        read_material(tmp_path, "en", tmp_path / "cache")


def test_train_without_test_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert content_probe.main(["--train", "somewhere"]) == 2
    assert "--train and --test belong together" in capsys.readouterr().err
