"""The probe reads letters off features that show them, and not off features that do not."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import content_probe, content_texts
from benchmarks.content_peers import Peer
from benchmarks.content_probe import at_probe_rate, probe_error
from benchmarks.content_texts import Utterance, is_same_sentence, read_utterances, without_sentences
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
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


@pytest.mark.slow
def test_plain_features_are_read_and_noise_is_not() -> None:
    train, test = utterances(160, seed=0), utterances(20, seed=1)

    assert probe_error(Peer(plain, 50), train, test) < 0.05
    assert probe_error(Peer(noise, 50), train, test) > 0.6


def test_fast_features_are_taken_in_pairs() -> None:
    features = np.arange(10, dtype=float).reshape(5, 2)

    assert at_probe_rate(features, 100).tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert at_probe_rate(features, 41.7) is features


def test_utterances_are_what_has_a_text(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        save_audio(tmp_path / name, voice(0.5), 16000)
    (tmp_path / "transcripts.json").write_text(json.dumps({"a.wav": "Hello, World!"}))

    found = read_utterances(tmp_path, "en", tmp_path / "cache")

    assert [(item.name, item.text) for item in found] == [("a.wav", "hello world")]


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    save_audio(tmp_path / "a.wav", voice(0.5), 16000)
    (tmp_path / "transcripts.json").write_text("{}")

    with pytest.raises(DataError, match="no recording has a text"):
        read_utterances(tmp_path, "en", tmp_path / "cache")


def test_texts_of_equal_names_are_not_mixed(tmp_path: Path) -> None:
    for name in ("x/a.wav", "y/a.wav", "b.wav"):
        save_audio(tmp_path / name, voice(0.5), 16000)
    texts = {"x/a.wav": "one", "a.wav": "whose?", "b.wav": "two"}
    (tmp_path / "transcripts.json").write_text(json.dumps(texts))

    found = read_utterances(tmp_path, "en", tmp_path / "cache")

    assert [(item.name, item.text) for item in found] == [("b.wav", "two"), ("x/a.wav", "one")]


def test_whisper_is_asked_once_for_each_file_and_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    class Recognizer:
        def __init__(self, *, language: str) -> None:
            self.language = language

        def transcribe(self, audio: np.ndarray) -> str:
            asked.append((self.language, len(audio)))
            return f"{self.language} of {len(audio)}"

    monkeypatch.setattr(content_texts, "WhisperRecognizer", Recognizer)
    for name, seconds in (("train/wav/1.wav", 0.5), ("test/wav/1.wav", 0.6)):
        save_audio(tmp_path / name, voice(seconds), 16000)

    def texts(folder: str, language: str = "en") -> list[str]:
        return [item.text for item in read_utterances(tmp_path / folder / "wav", language, tmp_path / "cache")]

    assert (texts("train"), texts("test")) == (["en of 8000"], ["en of 9600"])
    assert texts("train", "nl") == ["nl of 8000"]
    save_audio(tmp_path / "train/wav/1.wav", voice(0.7), 16000)
    assert (texts("train"), texts("test")) == (["en of 11200"], ["en of 9600"])
    assert len(asked) == 4


def test_what_whisper_wrote_outlives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    file = tmp_path / "cache" / "whisper_en.json"

    class Recognizer:
        def __init__(self, *, language: str) -> None:
            pass

        def transcribe(self, _: np.ndarray) -> str:
            written.append(len(json.loads(file.read_text())) if file.is_file() else 0)
            return "text"

    monkeypatch.setattr(content_texts, "WhisperRecognizer", Recognizer)
    for name, seconds in (("1.wav", 0.5), ("2.wav", 0.6), ("3.wav", 0.7)):
        save_audio(tmp_path / name, voice(seconds), 16000)

    read_utterances(tmp_path, "en", tmp_path / "cache")

    assert written == [0, 1, 2]


def test_what_cannot_be_used_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_audio(tmp_path / "a.wav", voice(0.5), 16000)
    save_audio(tmp_path / "long.wav", np.tile(voice(1.0), 31), 16000)
    (tmp_path / "broken.wav").write_text("no sound")
    save_audio(tmp_path / "c.wav", voice(0.5), 16000)
    (tmp_path / "transcripts.json").write_text(json.dumps({"a.wav": "text", "long.wav": "text", "broken.wav": "text"}))

    found = read_utterances(tmp_path, "en", tmp_path / "cache")

    assert [item.name for item in found] == ["a.wav"]
    assert all(words in caplog.text for words in ("long.wav: longer than 30 s", "broken.wav", "c.wav: has no text"))


def test_a_sentence_recognised_differently_is_the_same() -> None:
    first = "de kat zat op de mat en keek naar buiten"
    again = "de kat zat op een mat en kijkt naar buiten"
    other = "morgen gaat het regenen in het hele land"

    assert is_same_sentence(first, again)
    assert not is_same_sentence(first, other)
    train = [Utterance(text, np.zeros(1), text) for text in (again, other)]
    assert [item.text for item in without_sentences(train, [Utterance("", np.zeros(1), first)])] == [other]


def test_train_without_test_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert content_probe.main(["--train", "somewhere"]) == 2
    assert "--train and --test belong together" in capsys.readouterr().err
